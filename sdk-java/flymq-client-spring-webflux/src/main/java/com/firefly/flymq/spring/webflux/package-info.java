/** Reactive access: {@link com.firefly.flymq.spring.webflux.ReactiveFlyMQClient}. */
@NullMarked
package com.firefly.flymq.spring.webflux;

import org.jspecify.annotations.NullMarked;
