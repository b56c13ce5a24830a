//! How the kernel object is built: the choice of compiler and linker, and the build itself.
