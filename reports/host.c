#include "reports/host.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static void cpu_model_read(char *ret_model, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];

    if (!f) return;
    while (fgets(line, sizeof(line), f)) {
        char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(ret_model, size, "%s", colon);
        break;
    }
    fclose(f);
}

void host_facts_read(struct host_facts *ret_facts)
{
    struct utsname system;
    cpu_set_t cpus;

    *ret_facts = (struct host_facts){.cpu_model = ""};
    cpu_model_read(ret_facts->cpu_model, sizeof(ret_facts->cpu_model));
    CPU_ZERO(&cpus);
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) ret_facts->cores = (uint32_t)CPU_COUNT(&cpus);
    if (uname(&system) == 0)
        snprintf(ret_facts->kernel, sizeof(ret_facts->kernel), "%.30s %.60s %.30s", system.sysname,
                 system.release, system.machine);
    snprintf(ret_facts->compiler, sizeof(ret_facts->compiler), "%s", COMPILER);
}
