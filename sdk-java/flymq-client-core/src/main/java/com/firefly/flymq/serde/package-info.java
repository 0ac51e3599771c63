/** How objects become message values. */
@NullMarked
package com.firefly.flymq.serde;

import org.jspecify.annotations.NullMarked;
