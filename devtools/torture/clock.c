/* A wall clock that is wrong by the whole seconds in the file CLOCK_OFFSET, for the programs that preload this library.
 * The file may change while they run: the clock jumps. What counts seconds since the machine started stays right, as it
 * does on a machine whose clock is set. (libfaketime 0.9.10 breaks time.sleep of Python 3.11 where it leaves that alone.)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Moments before it are of a clock that began with the machine. */
#define WALL_CLOCK 1000000000

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void) {
  static const int64_t none;
  const char *path = getenv("CLOCK_OFFSET");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  if (file >= 0)
    close(file);
  offset = map == MAP_FAILED ? &none : map;
}

/* The C library's own function of the name that calls this. */
#define REAL(type, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, __func__))

/* Moments at which to stop waiting are told by our clock, and meant by the machine's. */
static struct timespec real_moment(const struct timespec *moment) {
  struct timespec real = *moment;
  if (real.tv_sec >= WALL_CLOCK && offset)
    real.tv_sec -= *offset;
  return real;
}

int clock_gettime(clockid_t id, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real)
    real = REAL(int, clockid_t, struct timespec *);
  int result = real(id, now);
  if (!result && offset && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
    now->tv_sec += *offset;
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  static int (*real)(struct timeval *, void *);
  if (!real)
    real = REAL(int, struct timeval *, void *);
  int result = real(now, zone);
  if (!result && offset)
    now->tv_sec += *offset;
  return result;
}

time_t time(time_t *stored) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (stored)
    *stored = now.tv_sec;
  return now.tv_sec;
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *request, struct timespec *left) {
  struct timespec until = flags & TIMER_ABSTIME && id == CLOCK_REALTIME ? real_moment(request) : *request;
  return REAL(int, clockid_t, int, const struct timespec *, struct timespec *)(id, flags, &until, left);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  struct timespec real = real_moment(until);
  return REAL(int, pthread_cond_t *, pthread_mutex_t *, const struct timespec *)(condition, mutex, &real);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
  struct timespec real = real_moment(until);
  return REAL(int, sem_t *, const struct timespec *)(semaphore, &real);
}
