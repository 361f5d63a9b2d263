//! Log streams as files.
