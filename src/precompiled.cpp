// Carries the precompiled header; other targets reuse it.
