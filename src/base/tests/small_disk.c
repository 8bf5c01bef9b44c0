#include "base/tests/small_disk.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/tests/cm.h"

void small_disk(const char *dir, int (*steps)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("qanat", dir, "tmpfs", 0, "size=512k,mode=700") < 0)
			_exit(SMALL_DISK_SKIP);
		_exit(steps());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == SMALL_DISK_SKIP) {
		print_message("skipped: no right to mount a file system of its own\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}
