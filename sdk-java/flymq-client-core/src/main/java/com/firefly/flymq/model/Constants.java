package com.firefly.flymq.model;

import java.util.Locale;

/** Constants of the protocol as plain words. */
final class Constants {
    private Constants() {}

    /** {@code GROUP_STATE_STABLE}: {@code stable}. */
    static String plain(String prefix, String constant) {
        String name = constant.startsWith(prefix) ? constant.substring(prefix.length()) : constant;
        return name.toLowerCase(Locale.ROOT);
    }
}
