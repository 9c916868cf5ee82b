/*
 * A disk that fails when it is told to, for one folder of one process.
 *
 * Preloaded, it stands before the C library's calls that write, cut and sync files. It counts
 * them, and lets those fail that a small file of numbers tells it to, which the test writes while
 * the process runs. It remembers what was written and not synced, so that it can do what a kernel
 * does after a failed sync, and what a power cut does.
 *
 *   FAILING_DISK_FOLDER   the folder, as an absolute path without links
 *   FAILING_DISK_NUMBERS  the file of numbers, of 64 bits each, as in `enum number`
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum number {
    SEEN_WRITES, /* calls so far, the failed ones too */
    SEEN_SYNCS,
    FAULT, /* as in `enum fault` */
    FROM,  /* the first call that fails, counted from 1 with the calls of its sort */
    UNTIL, /* the first that does not fail any more */
    ERROR, /* what they fail with */
    FAILED, /* calls that did */
    REUSED, /* writes to an open log after its fresh frames could not be synced */
    NUMBERS
};

enum fault {
    NO_FAULT,
    /* Writing and cutting fail. */
    WRITES,
    /* The first write does half of what it should, those after it fail. */
    HALF_WRITES,
    /* Syncing fails. What it should have saved can be read, and is gone after a power cut: later
       syncs know nothing of it. Most of Linux's file systems do so. */
    SYNCS,
    /* As SYNCS, but what should have been saved is gone at once: its pages were evicted. */
    SYNCS_EVICTING,
    /* The next call is the last: the power fails, and takes along whatever was not synced. */
    POWER_CUT
};

enum sort { DATABASE, FOLDER, LOG, OTHER };

#define PAGE 4096
#define MOST_HANDLES 4096
#define MOST_FILES 4096

/* What a part of a page was before it was written. */
struct before {
    struct before *older;
    off64_t at;
    size_t length;
    unsigned char bytes[];
};

struct file {
    char *path;
    dev_t device;
    ino_t inode;
    off64_t synced_size;
    /* The newest first. */
    struct before *unsynced;
    /* Not written since a sync of it failed. */
    struct before *lost;
    /* Bytes were written since the last sync. Not so if the file was only cut shorter. */
    int fresh;
    /* Its name is in the folder, but not yet on the disk. */
    int unnamed;
};

struct handle {
    struct file *file;
    enum sort sort;
    int distrusted;
};

static volatile uint64_t *numbers;
static const char *folder;
static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER;
static struct handle handles[MOST_HANDLES];
static struct file files[MOST_FILES];
static int known_files;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FAILING_DISK_NUMBERS");
    folder = getenv("FAILING_DISK_FOLDER");
    if (!path || !folder)
        return;
    int fd = REAL(open64)(path, O_RDWR | O_CLOEXEC);
    void *mapped = mmap(NULL, NUMBERS * sizeof *numbers, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || mapped == MAP_FAILED)
        abort();
    numbers = mapped;
}

/* ---- what is written and not synced ---- */

static void forget(struct before **list)
{
    while (*list) {
        struct before *gone = *list;
        *list = gone->older;
        free(gone);
    }
}

static struct before **end_of(struct before **list)
{
    while (*list)
        list = &(*list)->older;
    return list;
}

/* A write makes the whole page dirty: what was lost of it will be synced again. */
static void save_lost(struct file *file, off64_t page)
{
    struct before **link = &file->lost;
    while (*link) {
        struct before *one = *link;
        if (one->at / PAGE == page) {
            *link = one->older;
            one->older = NULL;
            *end_of(&file->unsynced) = one;
        } else {
            link = &one->older;
        }
    }
}

static void remember(int fd, off64_t at, off64_t length)
{
    struct file *file = handles[fd].file;
    while (length > 0) {
        off64_t page = at / PAGE;
        size_t part = (size_t)((page + 1) * PAGE - at);
        if ((off64_t)part > length)
            part = (size_t)length;
        save_lost(file, page);
        struct before *one = calloc(1, sizeof *one + part);
        if (!one || pread64(fd, one->bytes, part, at) < 0)
            abort();
        one->at = at;
        one->length = part;
        one->older = file->unsynced;
        file->unsynced = one;
        at += (off64_t)part;
        length -= (off64_t)part;
    }
}

static void put_back(int fd, const struct before *list)
{
    for (; list; list = list->older)
        if (REAL(pwrite64)(fd, list->bytes, list->length, list->at) != (ssize_t)list->length)
            abort();
}

static void after_failed_sync(int fd)
{
    struct handle *handle = &handles[fd];
    struct file *file = handle->file;
    if (file->fresh)
        handle->distrusted = 1;
    file->fresh = 0;
    if (numbers[FAULT] == SYNCS_EVICTING) {
        put_back(fd, file->unsynced);
        if (REAL(ftruncate64)(fd, file->synced_size))
            abort();
        forget(&file->unsynced);
    } else {
        *end_of(&file->unsynced) = file->lost;
        file->lost = file->unsynced;
        file->unsynced = NULL;
    }
}

static void after_sync(int fd)
{
    struct handle *handle = &handles[fd];
    if (handle->sort == FOLDER) {
        for (int i = 0; i < known_files; i++)
            files[i].unnamed = 0;
    } else {
        struct stat64 now;
        if (fstat64(fd, &now))
            abort();
        forget(&handle->file->unsynced);
        handle->file->fresh = 0;
        handle->file->synced_size = now.st_size;
    }
}

static void cut_power(void)
{
    for (int i = 0; i < known_files; i++) {
        struct file *file = &files[i];
        struct stat64 now;
        int fd = REAL(open64)(file->path, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fstat64(fd, &now))
            continue;
        if (now.st_dev != file->device || now.st_ino != file->inode)
            continue;
        put_back(fd, file->unsynced);
        put_back(fd, file->lost);
        if (REAL(ftruncate64)(fd, file->synced_size))
            abort();
        if (file->unnamed)
            REAL(unlink)(file->path);
    }
    kill(getpid(), SIGKILL);
}

/* ---- what is open ---- */

static int ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && !strcmp(path + length - tail, end);
}

/* Whether this path is in the folder, or is it or a folder in it. */
static int is_inside(const char *path)
{
    size_t length = strlen(folder);
    return !strncmp(path, folder, length) && (path[length] == '/' || path[length] == 0);
}

static struct file *file_of(const char *path, const struct stat64 *now)
{
    struct file *file = NULL;
    for (int i = 0; i < known_files && !file; i++)
        if (files[i].device == now->st_dev && files[i].inode == now->st_ino)
            file = &files[i];
    if (!file) {
        if (known_files == MOST_FILES)
            abort();
        file = &files[known_files++];
        file->synced_size = now->st_size;
    } else if (now->st_size == 0 && strcmp(file->path, path)) {
        /* A new file with an old one's number. */
        forget(&file->unsynced);
        forget(&file->lost);
        file->synced_size = 0;
    }
    free(file->path);
    file->path = strdup(path);
    file->device = now->st_dev;
    file->inode = now->st_ino;
    return file;
}

static void opened(int fd, const char *path, int created)
{
    struct stat64 now;
    if (fd < 0 || fd >= MOST_HANDLES)
        return;
    pthread_mutex_lock(&alone);
    memset(&handles[fd], 0, sizeof handles[fd]);
    if (numbers && is_inside(path) && !fstat64(fd, &now)) {
        struct handle *handle = &handles[fd];
        handle->file = file_of(path, &now);
        handle->sort = S_ISDIR(now.st_mode)        ? FOLDER
                       : ends_with(path, ".db")    ? DATABASE
                       : ends_with(path, ".db-wal") ? LOG
                                                    : OTHER;
        if (created) {
            forget(&handle->file->unsynced);
            forget(&handle->file->lost);
            handle->file->synced_size = 0;
            handle->file->unnamed = 1;
        }
    }
    pthread_mutex_unlock(&alone);
}

static int is_watched(int fd)
{
    return numbers && fd >= 0 && fd < MOST_HANDLES && handles[fd].file;
}

/* The memory beside the log and the lock begin anew with each process. */
static int is_kept(int fd)
{
    return handles[fd].sort == DATABASE || handles[fd].sort == LOG;
}

/* ---- what fails ---- */

enum verdict { PASSES, FAILS, HALF };

static enum verdict judge(enum number counter)
{
    uint64_t call = ++numbers[counter], fault = numbers[FAULT];
    if (fault == POWER_CUT)
        cut_power();
    int meant = counter == SEEN_SYNCS ? fault == SYNCS || fault == SYNCS_EVICTING
                                      : fault == WRITES || fault == HALF_WRITES;
    if (!meant || call < numbers[FROM] || call >= numbers[UNTIL])
        return PASSES;
    numbers[FAILED]++;
    errno = (int)numbers[ERROR];
    return fault == HALF_WRITES && call == numbers[FROM] ? HALF : FAILS;
}

/* Writes at a place, or where the file stands if that is negative. */
static ssize_t put(int fd, const void *bytes, size_t length, off64_t at)
{
    ssize_t done = -1;
    pthread_mutex_lock(&alone);
    enum verdict verdict = judge(SEEN_WRITES);
    if (verdict != FAILS) {
        if (verdict == HALF)
            length = (length + 1) / 2;
        if (is_kept(fd)) {
            off64_t from = at < 0 ? lseek64(fd, 0, SEEK_CUR) : at;
            remember(fd, from, (off64_t)length);
            handles[fd].file->fresh = 1;
        }
        if (handles[fd].distrusted && handles[fd].sort == LOG)
            numbers[REUSED]++;
        done = at < 0 ? REAL(write)(fd, bytes, length) : REAL(pwrite64)(fd, bytes, length, at);
    }
    pthread_mutex_unlock(&alone);
    return done;
}

static int cut(int fd, off64_t length)
{
    int done = -1;
    pthread_mutex_lock(&alone);
    if (judge(SEEN_WRITES) == PASSES) {
        struct stat64 now;
        if (is_kept(fd) && !fstat64(fd, &now))
            remember(fd, length, now.st_size - length);
        done = REAL(ftruncate64)(fd, length);
    }
    pthread_mutex_unlock(&alone);
    return done;
}

static int sync_file(int fd, int (*real)(int))
{
    int done = -1;
    pthread_mutex_lock(&alone);
    if (judge(SEEN_SYNCS) == PASSES) {
        done = real(fd);
        if (!done)
            after_sync(fd);
    } else {
        int error = errno;
        if (is_kept(fd))
            after_failed_sync(fd);
        errno = error;
    }
    pthread_mutex_unlock(&alone);
    return done;
}

/* ---- the calls ---- */

#define OPENS(name)                                              \
    int name(const char *path, int flags, ...)                   \
    {                                                            \
        va_list rest;                                            \
        va_start(rest, flags);                                   \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                            \
        int created = (flags & O_CREAT) && access(path, F_OK);   \
        int fd = REAL(name)(path, flags, mode);                  \
        int error = errno;                                       \
        opened(fd, path, created);                               \
        errno = error;                                           \
        return fd;                                               \
    }
OPENS(open)
OPENS(open64)

int close(int fd)
{
    if (is_watched(fd)) {
        pthread_mutex_lock(&alone);
        memset(&handles[fd], 0, sizeof handles[fd]);
        pthread_mutex_unlock(&alone);
    }
    return REAL(close)(fd);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    return is_watched(fd) ? put(fd, bytes, length, -1) : REAL(write)(fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    return is_watched(fd) ? put(fd, bytes, length, at) : REAL(pwrite)(fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
    return is_watched(fd) ? put(fd, bytes, length, at) : REAL(pwrite64)(fd, bytes, length, at);
}

/* As a write of the first part alone, which a caller must be ready for. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (!is_watched(fd) || count < 1)
        return REAL(writev)(fd, parts, count);
    return put(fd, parts[0].iov_base, parts[0].iov_len, -1);
}

int ftruncate(int fd, off_t length)
{
    return is_watched(fd) ? cut(fd, length) : REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    return is_watched(fd) ? cut(fd, length) : REAL(ftruncate64)(fd, length);
}

int fsync(int fd)
{
    return is_watched(fd) ? sync_file(fd, REAL(fsync)) : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return is_watched(fd) ? sync_file(fd, REAL(fdatasync)) : REAL(fdatasync)(fd);
}
