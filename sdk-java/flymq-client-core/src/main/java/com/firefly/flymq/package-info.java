/** The FlyMQ client: {@link com.firefly.flymq.FlyMQClient} is the way in. */
@NullMarked
package com.firefly.flymq;

import org.jspecify.annotations.NullMarked;
