#include "sim/base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_FAILED = 4 };

void panic(const char *file, int line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

void panic_memory(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    _Exit(EXIT_FAILED);
}
