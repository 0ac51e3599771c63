/** Encryption of message values on the client side. */
@NullMarked
package com.firefly.flymq.crypto;

import org.jspecify.annotations.NullMarked;
