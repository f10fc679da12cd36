/* Kills the process at one of its renames. Preloaded by kills.py.
 *
 * AT_RENAME_BELOW   counts renames whose target has this text in its path; all without it
 * AT_RENAME_BUT     leaves out targets with this text in their path
 * AT_RENAME_NUMBER  the rename at which the process is killed, from 1; none without it
 * AT_RENAME_WHEN    "before" the rename is done, or "after"
 * AT_RENAME_LOG     a file that gets a line for each counted rename
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int renames;

static int is_counted(const char *target) {
    const char *below = getenv("AT_RENAME_BELOW");
    const char *but = getenv("AT_RENAME_BUT");
    return (!below || strstr(target, below)) && !(but && strstr(target, but));
}

static void note(int number, const char *target) {
    const char *log = getenv("AT_RENAME_LOG");
    if (!log) return;
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) abort();
    dprintf(file, "%d %s\n", number, target);
    close(file);
}

/* Whether this is the rename to be killed at. */
static int is_the_one(const char *target) {
    if (!is_counted(target)) return 0;
    int number = atomic_fetch_add(&renames, 1) + 1;
    note(number, target);
    const char *wanted = getenv("AT_RENAME_NUMBER");
    return wanted && atoi(wanted) == number;
}

static void die_if(int now, const char *when) {
    const char *wanted = getenv("AT_RENAME_WHEN");
    if (now && wanted && strcmp(wanted, when) == 0) kill(getpid(), SIGKILL);
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    int now = is_the_one(to);
    die_if(now, "before");
    int result = real(from, to);
    die_if(now, "after");
    return result;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    int (*real)(int, const char *, int, const char *) = dlsym(RTLD_NEXT, "renameat");
    int now = is_the_one(to);
    die_if(now, "before");
    int result = real(from_folder, from, to_folder, to);
    die_if(now, "after");
    return result;
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    int (*real)(int, const char *, int, const char *, unsigned) = dlsym(RTLD_NEXT, "renameat2");
    int now = is_the_one(to);
    die_if(now, "before");
    int result = real(from_folder, from, to_folder, to, flags);
    die_if(now, "after");
    return result;
}
