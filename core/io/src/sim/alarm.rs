//! Wake-ups.

/// A simulated wake-up, behind a [`Waker`](crate::Waker): in a world whose waits never sleep there is nobody to wake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm;

impl Alarm {
    pub(crate) fn wake(self) {}
}
