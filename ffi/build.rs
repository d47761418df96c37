//! The name that a program which links the shared library asks for at run time.

fn main() {
    // The number is RINGTAIL_ABI_VERSION; a test compares them.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libringtail.so.1");
    println!("cargo:rerun-if-changed=build.rs");
}
