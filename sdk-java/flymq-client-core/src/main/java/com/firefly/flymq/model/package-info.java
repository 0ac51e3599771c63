/** What the broker tells of topics, groups and the cluster. */
@NullMarked
package com.firefly.flymq.model;

import org.jspecify.annotations.NullMarked;
