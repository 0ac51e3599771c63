"""Values that only holders of the key can read, not even the broker."""

import os

from pyflymq import Encryptor, connect, generate_key
from pyflymq.testing import Broker

key = generate_key()
broker = None if "FLYMQ_ADDR" in os.environ else Broker()
address = os.environ["FLYMQ_ADDR"] if broker is None else broker.address

with connect(address, encryption_key=key) as ours, connect(address) as others:
    stored = ours.produce("salaries", "ada: 100", key="ada")
    print("with the key:", ours.consume("salaries", stored).decode())
    sealed = others.consume("salaries", stored)
    print("without:", sealed.value.hex())
    print("by hand:", Encryptor.from_hex_key(key).decrypt(sealed.value).decode())
if broker is not None:
    broker.stop()
