//! Another Rust library in the same program: it uses its own runtime, a panic that it catches included.

/// 42, from a thread that panics.
#[unsafe(no_mangle)]
pub extern "C" fn other_answer() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    let thread = std::thread::spawn(|| if std::hint::black_box(true) { panic!("caught") });
    if thread.join().is_err() { 42 } else { 0 }
}
