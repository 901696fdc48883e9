/* Cuts reads and writes of a store's files short, as a disk and its file system may: loaded in front of the C library.
 *
 * SHORT_ORDER=PATH   a file that says `N THEN`: every Nth write, and every Nth read, of a file whose name begins with
 *                    quarterdeck.db is cut to a half. THEN is what follows a cut write: `nothing`, `full` (the next write
 *                    fails with ENOSPC) or `death` (SIGKILL). Without the file nothing is cut.
 * SHORT_COUNT=PATH   gets one byte for each cut
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssize_t (*real_write)(int, const void *, size_t, off64_t);
static ssize_t (*real_read)(int, void *, size_t, off64_t);
static unsigned long writes, reads;
static const char *order;
static int count = -1;
static __thread int is_full;

__attribute__((constructor)) static void begin(void) {
    real_write = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    real_read = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    order = getenv("SHORT_ORDER");
    const char *path = getenv("SHORT_COUNT");
    if (path)
        count = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int is_of_store(int file) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0)
        return 0;
    name[length] = 0;
    const char *last = strrchr(name, '/');
    /* Not the index of the log, which is memory. */
    return last && !strncmp(last, "/quarterdeck.db", 15) && !strstr(last, "-shm");
}

/* What follows a cut: its first letter, or 0 where nothing is to be cut. */
static char cut(unsigned long *calls, int file, size_t size) {
    char said[64];
    if (!order || size < 2 || !is_of_store(file))
        return 0;
    int from = open(order, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return 0;
    ssize_t length = read(from, said, sizeof said - 1);
    close(from);
    if (length <= 0)
        return 0;
    said[length] = 0;
    char *then;
    unsigned long each = strtoul(said, &then, 10);
    if (!each || *then != ' ' || __sync_add_and_fetch(calls, 1) % each)
        return 0;
    if (count >= 0 && write(count, "x", 1) != 1)
        abort();
    return then[1];
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    if (is_full && is_of_store(file)) {
        is_full = 0;
        errno = ENOSPC;
        return -1;
    }
    char then = cut(&writes, file, size);
    if (!then)
        return real_write(file, bytes, size, at);
    ssize_t written = real_write(file, bytes, size / 2, at);
    if (then == 'd')
        kill(getpid(), SIGKILL);
    is_full = then == 'f';
    return written;
}

ssize_t pread64(int file, void *bytes, size_t size, off64_t at) {
    return real_read(file, bytes, cut(&reads, file, size) ? size / 2 : size, at);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) { return pwrite64(file, bytes, size, at); }
ssize_t pread(int file, void *bytes, size_t size, off_t at) { return pread64(file, bytes, size, at); }
