/* Preloaded (LD_PRELOAD): calls on files below one directory fail as other file systems do.
 *
 * faults_plan() names the directory and says which calls fail: `first` counts the calls of that
 * kind in this process and its children from then on, `count` of them fail in a row, -1 all.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { READS, LOCKS, LINKS, DIRECTORIES, WRITES, EXCHANGES, FLUSHES, KINDS };

static struct { long first, count, seen; int error; } plan[KINDS];
static char root[PATH_MAX];
static long failed;

__attribute__((visibility("default"))) void faults_plan(
    const char *directory, int kind, long first, long count, int error) {
    strncpy(root, directory, sizeof root - 1);
    plan[kind].first = first;
    plan[kind].count = count;
    plan[kind].seen = 0;
    plan[kind].error = error;
}

/* How many calls of a kind there were. */
__attribute__((visibility("default"))) long faults_seen(int kind) { return plan[kind].seen; }
__attribute__((visibility("default"))) long faults_failed(void) { return failed; }

/* For programs that cannot call faults_plan: FAULTS="kind first count errno", FAULTS_ROOT. */
__attribute__((constructor)) static void from_environment(void) {
    const char *directory = getenv("FAULTS_ROOT"), *faults = getenv("FAULTS");
    int kind, error, length;
    long first, count;
    while (directory && faults &&
           sscanf(faults, "%d %ld %ld %d%n", &kind, &first, &count, &error, &length) == 4) {
        faults_plan(directory, kind, first, count, error);
        faults += length;
    }
}

static int below(const char *path) {
    size_t length = strlen(root);
    return length && path && !strncmp(path, root, length) &&
           (path[length] == '/' || path[length] == 0);
}

static int open_below(int descriptor) {
    char link[64], path[PATH_MAX];
    if (!root[0] || descriptor < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static int at_below(int directory, const char *path) {
    return path && (path[0] == '/' || directory == AT_FDCWD ? below(path) : open_below(directory));
}

static int fails(enum kind kind) {
    long number = __atomic_fetch_add(&plan[kind].seen, 1, __ATOMIC_RELAXED);
    long late = number - plan[kind].first;
    if (!plan[kind].error || late < 0 || (plan[kind].count >= 0 && late >= plan[kind].count))
        return 0;
    __atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
    errno = plan[kind].error;
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        MODE; \
        return below(path) && (fails(READS) || ((flags & O_CREAT) && fails(WRITES))) \
                   ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        REAL(name); \
        MODE; \
        return at_below(directory, path) && (fails(READS) || ((flags & O_CREAT) && fails(WRITES))) \
                   ? -1 : real(directory, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define STAT(name, type) \
    int name(const char *path, struct type *found) { \
        REAL(name); \
        return below(path) && fails(READS) ? -1 : real(path, found); \
    }
STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)

#define FSTAT(name, type) \
    int name(int descriptor, struct type *found) { \
        REAL(name); \
        return open_below(descriptor) && fails(READS) ? -1 : real(descriptor, found); \
    }
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)

#define FSTATAT(name, type) \
    int name(int directory, const char *path, struct type *found, int flags) { \
        REAL(name); \
        return at_below(directory, path) && fails(READS) \
                   ? -1 : real(directory, path, found, flags); \
    }
FSTATAT(fstatat, stat)
FSTATAT(fstatat64, stat64)

ssize_t read(int descriptor, void *buffer, size_t size) {
    REAL(read);
    return open_below(descriptor) && fails(READS) ? -1 : real(descriptor, buffer, size);
}

#define PREAD(name, offset_type) \
    ssize_t name(int descriptor, void *buffer, size_t size, offset_type offset) { \
        REAL(name); \
        return open_below(descriptor) && fails(READS) \
                   ? -1 : real(descriptor, buffer, size, offset); \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

ssize_t write(int descriptor, const void *buffer, size_t size) {
    REAL(write);
    return open_below(descriptor) && fails(WRITES) ? -1 : real(descriptor, buffer, size);
}

#define PWRITE(name, offset_type) \
    ssize_t name(int descriptor, const void *buffer, size_t size, offset_type offset) { \
        REAL(name); \
        return open_below(descriptor) && fails(WRITES) \
                   ? -1 : real(descriptor, buffer, size, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return below(path) && fails(WRITES) ? -1 : real(path, mode);
}

int fsync(int descriptor) {
    REAL(fsync);
    struct stat found;
    if (open_below(descriptor)) {
        int known = !syscall(SYS_fstat, descriptor, &found);
        if (fails(known && S_ISDIR(found.st_mode) ? DIRECTORIES : FLUSHES)) return -1;
    }
    return real(descriptor);
}

int flock(int descriptor, int operation) {
    REAL(flock);
    return open_below(descriptor) && fails(LOCKS) ? -1 : real(descriptor, operation);
}

#define FCNTL(name) \
    int name(int descriptor, int command, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, command); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        int locks = command == F_SETLK || command == F_SETLKW || command == F_GETLK || \
                    command == F_OFD_SETLK || command == F_OFD_SETLKW; \
        return locks && open_below(descriptor) && fails(LOCKS) \
                   ? -1 : real(descriptor, command, argument); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

int link(const char *source, const char *target) {
    REAL(link);
    return below(target) && fails(LINKS) ? -1 : real(source, target);
}

int linkat(int from, const char *source, int to, const char *target, int flags) {
    REAL(linkat);
    return at_below(to, target) && fails(LINKS) ? -1 : real(from, source, to, target, flags);
}

/* Python's ctypes calls renameat2 through here. */
long syscall(long number, ...) {
    REAL(syscall);
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_renameat2 && at_below((int)a[2], (const char *)a[3]) && fails(EXCHANGES))
        return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
