/*
 * The end of the road: a programmer error was found, and the process aborts with one line on stderr.
 *
 * These stay on in release builds. They are not for bad input, full disks or peers that misbehave.
 */
#pragma once

/* Aborts unless `cond` holds. Prints "file:line: assertion failed: cond". The condition is always evaluated.
 */
#define ASSERT(cond)                                                                                         \
    (__builtin_expect(!!(cond), 1) ? (void)0 : panic(__FILE__, __LINE__, "assertion failed: %s", #cond))

/* Aborts with a printf-like message: "file:line: message". */
#define PANIC(...) panic(__FILE__, __LINE__, __VA_ARGS__)

/* Memory that is needed to go on is not there, which is nobody's mistake: one printf-like line on stderr, and
 * the process ends at once with exit code 4, "the program failed". */
#define PANIC_MEMORY(...) panic_memory(__VA_ARGS__)

/* Aborts. Marks a place that no execution may reach, such as after a switch over all enumerators. */
#define UNREACHABLE() panic(__FILE__, __LINE__, "reached the unreachable")

/* The functions behind the macros. Flush nothing, allocate nothing on the heap, do not return. */
_Noreturn void panic(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
_Noreturn void panic_memory(const char *format, ...) __attribute__((format(printf, 1, 2), cold));
