/** Failures, each with code, hint and page. */
@NullMarked
package com.firefly.flymq.exception;

import org.jspecify.annotations.NullMarked;
