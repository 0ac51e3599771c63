/** Not for applications: the border to the native client core. */
@NullMarked
package com.firefly.flymq.internal;

import org.jspecify.annotations.NullMarked;
