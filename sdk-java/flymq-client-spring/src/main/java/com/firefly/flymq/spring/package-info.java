/** Spring Boot: a {@link com.firefly.flymq.FlyMQClient} bean from the properties {@code flymq.*}. */
@NullMarked
package com.firefly.flymq.spring;

import org.jspecify.annotations.NullMarked;
