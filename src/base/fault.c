#include "base/fault.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"

/* One "name:k" of the environment. */
struct wish {
	char name[64]; /* empty: none */
	uint32_t at;
	uint32_t passed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static bool loaded;
static struct wish fail, crash;
static uint32_t crash_at, own_passed;
static _Atomic uint32_t *shared; /* of all processes of a test; NULL: this one counts for itself */
static bool trace;

/* This is a build for tests: a wrong setting stops it rather than testing nothing. */
NORETURN static void refuse(const char *variable, const char *value)
{
	(void)fprintf(stderr, "%s=%s: expected name or name:k with k from 1\n", variable, value);
	_exit(2);
}

static void wish_load(struct wish *w, const char *variable)
{
	const char *value = getenv(variable);
	struct str rest = str_of(value), name;

	*w = (struct wish){ .at = 1 };
	if (!value || !*value)
		return;
	if (!str_cut(&rest, ':', &name) || !str_copy(w->name, sizeof w->name, name) ||
	    (rest.n && !u32_parse(rest, 1, UINT32_MAX, &w->at)))
		refuse(variable, value);
}

/* Before a process of ours shuts itself out of files. */
__attribute__((constructor)) static void share(void)
{
	const char *path = getenv("QANAT_FAULT_COUNTER");
	int fd = path && *path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	void *p;

	if (fd < 0)
		return;
	if (ftruncate(fd, sizeof *shared) == 0) {
		p = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		shared = p == MAP_FAILED ? NULL : p;
	}
	(void)close(fd);
}

/* The number of this passing. */
static uint32_t passing(void)
{
	return shared ? atomic_fetch_add(shared, 1) + 1 : ++own_passed;
}

static void load(void)
{
	const char *at = getenv("QANAT_CRASH_AT"), *t = getenv("QANAT_FAULT_TRACE");

	wish_load(&fail, "QANAT_FAULT");
	wish_load(&crash, "QANAT_CRASH");
	crash_at = 0;
	own_passed = 0;
	if (at && *at && !u32_parse(str_of(at), 1, UINT32_MAX, &crash_at))
		refuse("QANAT_CRASH_AT", at);
	trace = t && *t && strcmp(t, "0") != 0;
	loaded = true;
}

static bool wish_due(struct wish *w, const char *name)
{
	return strcmp(w->name, name) == 0 && ++w->passed == w->at;
}

bool fault_point(const char *name)
{
	uint32_t number;
	bool fails;

	(void)pthread_mutex_lock(&lock);
	if (!loaded)
		load();
	number = passing();
	if (trace)
		(void)fprintf(stderr, "fault %u %s\n", number, name);
	if (wish_due(&crash, name) || number == crash_at)
		(void)raise(SIGKILL); /* which a sandbox allows */
	fails = wish_due(&fail, name);
	(void)pthread_mutex_unlock(&lock);
	return fails;
}

void fault_reload(void)
{
	(void)pthread_mutex_lock(&lock);
	load();
	(void)pthread_mutex_unlock(&lock);
}
