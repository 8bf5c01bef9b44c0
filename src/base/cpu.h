/* cpu.h - what differs between processors; one line for each.
 */
#ifndef QANAT_BASE_CPU_H
#define QANAT_BASE_CPU_H

/* Between two looks at a word that another processor is about to write: lets its sibling run. */
#if defined(__x86_64__) || defined(__i386__)
static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}
#elif defined(__aarch64__)
static inline void cpu_relax(void)
{
	__asm__ volatile("yield" ::: "memory");
}
#else
static inline void cpu_relax(void)
{
	__asm__ volatile("" ::: "memory");
}
#endif

#endif
