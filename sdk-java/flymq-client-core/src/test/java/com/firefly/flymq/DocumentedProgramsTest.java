package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

import javax.tools.ToolProvider;

/** The Java programs of the documentation: each compiles and prints what stands below it. */
class DocumentedProgramsTest extends WithBroker {
    /** A program, and its output in the block that follows. */
    private static final Pattern PROGRAM =
            Pattern.compile("^```java\\n(.*?)^```\\n\\n```text\\n(.*?)^```", Pattern.MULTILINE | Pattern.DOTALL);
    private static final Pattern NAME = Pattern.compile("public class (\\w+)");
    private static final Path ROOT = Path.of("..", "..");

    @TempDir
    Path folder;

    @TestFactory
    Stream<DynamicTest> programsPrintWhatIsPrintedBelowThem() throws IOException {
        Stream.Builder<DynamicTest> tests = Stream.builder();
        for (String file : List.of("README.md", "sdk-java/README.md", "sdk-java/GETTING_STARTED.md")) {
            Matcher found = PROGRAM.matcher(Files.readString(ROOT.resolve(file)));
            int count = 0;
            while (found.find()) {
                String program = found.group(1);
                String expected = found.group(2);
                Matcher name = NAME.matcher(program);
                assertThat(name.find()).as("a class in %s", file).isTrue();
                String main = name.group(1);
                tests.add(DynamicTest.dynamicTest(
                        file + ": " + main, () -> assertThat(run(main, program)).isEqualTo(expected)));
                count++;
            }
            assertThat(count).as("programs in %s", file).isPositive();
        }
        return tests.build();
    }

    private String run(String main, String program) throws Exception {
        Path source = folder.resolve(main + ".java");
        Files.writeString(source, program.replace("localhost:9092", broker.address()));
        String path = System.getProperty("java.class.path");
        int failed = ToolProvider.getSystemJavaCompiler()
                .run(null, null, null, "-cp", path, "-d", folder.toString(), source.toString());
        assertThat(failed).isZero();
        PrintStream before = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()})) {
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            loader.loadClass(main).getMethod("main", String[].class).invoke(null, (Object) new String[0]);
        } finally {
            System.setOut(before);
        }
        return printed.toString(StandardCharsets.UTF_8);
    }
}
