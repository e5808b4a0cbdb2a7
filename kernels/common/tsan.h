// Fork and join marks for ThreadSanitizer, which cannot see the barriers of libgomp. Empty in every other build.
#pragma once
#if defined(__SANITIZE_THREAD__)
#define DSLITE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DSLITE_TSAN 1
#endif
#endif
#ifdef DSLITE_TSAN
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#define DSLITE_TSAN_ACQUIRE(address) __tsan_acquire(address)
#define DSLITE_TSAN_RELEASE(address) __tsan_release(address)
#else
#define DSLITE_TSAN_ACQUIRE(address) (void)(address)
#define DSLITE_TSAN_RELEASE(address) (void)(address)
#endif
