/* Depth: RecursionError before the machine stack is used up.

   A proxy hands an operation on to its object in C. Where that object is another proxy, or
   leads back to one (a partial, a bound method, a weakref.proxy, an attrgetter), C calls C and
   no Python frame is counted; the limits that CPython sets are for its own calls, and do not
   know how large a thread's stack is (before 3.14). So what hands on, and every slow way,
   first asks how much is left: `is_too_deep`.

   A quarter of the stack, at most SPARE bytes, is left for what runs at the deep end: Python
   code with its own limit, and the making of the error. Since 3.14 Python code looks at the
   stack too: it ends 32 KiB before the stack does, and nested deallocations stop at 64 KiB, of
   which a finaliser may use what lies between. A stack that is not the thread's own
   (some coroutines of C have such) is unknown and never too deep. Greenlets are on the
   thread's own: greenlet moves their content, not the stack.

   Cost: a load and a compare; the first time in a thread its stack is looked up. */

#ifndef CTXLOCAL_DEPTH_H
#define CTXLOCAL_DEPTH_H

#include "state.h"

#if defined(_WIN32)
#include <windows.h>
#elif defined(__linux__) || defined(__APPLE__)
#include <pthread.h>
#if defined(__linux__) && !defined(__GLIBC__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#if defined(_MSC_VER)
#define PER_THREAD static __declspec(thread)
#else
#if defined(__GLIBC__) /* a load in place of a call; elsewhere not for what is loaded late */
#define PER_THREAD static __thread __attribute__((tls_model("initial-exec")))
#else
#define PER_THREAD static __thread
#endif
#endif

enum { SPARE = PY_VERSION_HEX >= 0x030e0000 ? 48 << 10 : 2 << 20 };
#define LARGEST_STACK ((uintptr_t)256 << 20) /* so much of one that is unlimited */

PER_THREAD uintptr_t stack_low = 0;              /* its last address */
PER_THREAD uintptr_t stack_limit = UINTPTR_MAX;  /* before it was looked up: everything is deep */

/* The thread's stack; 0 where the platform does not tell. */
static int
stack_bounds(uintptr_t *low, uintptr_t *high)
{
#if defined(_WIN32)
    ULONG_PTR first, last;
    GetCurrentThreadStackLimits(&first, &last);
    *low = (uintptr_t)first;
    *high = (uintptr_t)last;
    return 1;
#elif defined(__APPLE__)
    *high = (uintptr_t)pthread_get_stackaddr_np(pthread_self());
    *low = *high - pthread_get_stacksize_np(pthread_self());
    return 1;
#elif defined(__linux__)
    pthread_attr_t attributes;
    void *first;
    size_t size, guard;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return 0;
    }
    int is_known = pthread_attr_getstack(&attributes, &first, &size) == 0 &&
        pthread_attr_getguardsize(&attributes, &guard) == 0;
    pthread_attr_destroy(&attributes);
    if (!is_known) {
        return 0;
    }
    *low = (uintptr_t)first + guard;
    *high = (uintptr_t)first + size;
#if !defined(__GLIBC__) /* musl tells of a main thread how much is mapped by now */
    struct rlimit most;
    if (syscall(SYS_gettid) == getpid() && getrlimit(RLIMIT_STACK, &most) == 0) {
        *low = most.rlim_cur < LARGEST_STACK ? *high - (uintptr_t)most.rlim_cur
                                             : *high - LARGEST_STACK;
    }
#endif
    return 1;
#else
    return 0;
#endif
}

/* Whether `here` is in the part of the stack that is to be spared. */
NEVER_INLINE int
is_beyond_limit(uintptr_t here)
{
    if (stack_limit == UINTPTR_MAX) {
        uintptr_t low, high;
        if (!stack_bounds(&low, &high)) {
            low = high = 0; /* nothing is between them */
        }
        if (high - low > LARGEST_STACK) {
            low = high - LARGEST_STACK;
        }
        uintptr_t spare = (high - low) / 4;
        stack_low = low;
        stack_limit = low + (spare < SPARE ? spare : SPARE);
    }
    return here >= stack_low && here < stack_limit;
}

NEVER_INLINE void
raise_too_deep(void)
{
    PyErr_SetString(PyExc_RecursionError,
                    "maximum recursion depth exceeded: the thread's stack is nearly used up");
}

/* Whether the stack is nearly used up: then RecursionError is raised. */
ALWAYS_INLINE int
is_too_deep(void)
{
#if defined(__SANITIZE_ADDRESS__) /* may have local variables elsewhere */
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
#else /* keeps no register for a frame's address */
    char on_stack;
    uintptr_t here = (uintptr_t)&on_stack;
#endif
    if (LIKELY(here >= stack_limit) || LIKELY(!is_beyond_limit(here))) {
        return 0;
    }
    raise_too_deep();
    return 1;
}

#endif
