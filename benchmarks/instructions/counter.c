/* What a process under callgrind tells it; without valgrind each of these does nothing. */
#include <valgrind/callgrind.h>

void start_counting(void)
{
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

void stop_counting(const char *kind)
{
    CALLGRIND_DUMP_STATS_AT(kind);
    CALLGRIND_STOP_INSTRUMENTATION;
}
