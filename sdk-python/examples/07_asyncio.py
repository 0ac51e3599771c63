"""The same with asyncio."""

import asyncio
import os

from pyflymq import AsyncFlyMQClient

SERVERS = os.environ.get("FLYMQ_ADDR", ":memory:")  # without an address: a broker in this process


async def main() -> None:
    """Ten messages at once, read back in order."""
    async with AsyncFlyMQClient(SERVERS) as client:
        await asyncio.gather(*(client.produce("pings", f"ping {n}") for n in range(10)))
        async with client.consumer("pings", "pongs", auto_offset_reset="earliest") as consumer:
            async for message in consumer:
                print(message.offset, message.decode())
                if message.offset == 9:
                    break


asyncio.run(main())
