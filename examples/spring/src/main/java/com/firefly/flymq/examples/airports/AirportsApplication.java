package com.firefly.flymq.examples.airports;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** A Spring Boot application that counts airports by state, as a consumer group, and ends. */
@SpringBootApplication
public class AirportsApplication {
    public static void main(String[] args) {
        System.exit(SpringApplication.exit(SpringApplication.run(AirportsApplication.class, args)));
    }
}
