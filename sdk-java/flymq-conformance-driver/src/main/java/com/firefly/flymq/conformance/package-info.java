/** The Java surface of the conformance suite. */
@NullMarked
package com.firefly.flymq.conformance;

import org.jspecify.annotations.NullMarked;
