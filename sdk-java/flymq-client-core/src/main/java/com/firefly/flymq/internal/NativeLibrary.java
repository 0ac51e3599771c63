package com.firefly.flymq.internal;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;

/**
 * Finds the native library: the file that the system property {@code flymq.native.library} names, else the one that the
 * jar brings for this operating system and processor.
 */
final class NativeLibrary {
    static final String PROPERTY = "flymq.native.library";

    private NativeLibrary() {}

    static void load() {
        String named = System.getProperty(PROPERTY);
        System.load(named == null ? bundled().toString() : Path.of(named).toAbsolutePath().toString());
    }

    /** Such as {@code linux-x86_64}: the folder in the jar. */
    static String platform(String os, String arch) {
        String name = os.toLowerCase(Locale.ROOT);
        String system = name.startsWith("mac") ? "macos" : name.startsWith("windows") ? "windows" : name;
        String processor = switch (arch.toLowerCase(Locale.ROOT)) {
            case "amd64", "x86_64", "x64" -> "x86_64";
            case "aarch64", "arm64" -> "aarch64";
            default -> arch.toLowerCase(Locale.ROOT);
        };
        return system + "-" + processor;
    }

    private static Path bundled() {
        String platform = platform(System.getProperty("os.name"), System.getProperty("os.arch"));
        String file = System.mapLibraryName("flymq_jni");
        URL found = NativeLibrary.class.getResource("/native/" + platform + "/" + file);
        if (found == null) {
            throw new UnsatisfiedLinkError("flymq-client-core has no native library for " + platform
                    + ": build it there with `mvn -f sdk-java install`, or name the file of one with -D" + PROPERTY);
        }
        try {
            return found.getProtocol().equals("file") ? Path.of(found.toURI()) : unpack(found, file);
        } catch (IOException | URISyntaxException e) {
            throw new UncheckedIOException(
                    "the native library cannot be unpacked into " + System.getProperty("java.io.tmpdir")
                            + " (choose another folder with -Djava.io.tmpdir)",
                    e instanceof IOException io ? io : new IOException(e));
        }
    }

    /** Copies it out of the jar into a folder that only this user can read, gone with the process. */
    private static Path unpack(URL library, String file) throws IOException {
        Path folder = Files.createTempDirectory("flymq-");
        folder.toFile().deleteOnExit();
        Path target = folder.resolve(file);
        target.toFile().deleteOnExit();
        try (InputStream in = library.openStream()) {
            Files.copy(in, target, StandardCopyOption.REPLACE_EXISTING);
        }
        return target;
    }
}
