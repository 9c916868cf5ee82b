//! Finds the argument that names a handler's event.

use crate::{Event, EventType};

/// The position of an argument. Tells the implementations of [`NamesEvent`]
/// apart; never a value.
#[derive(Debug)]
pub enum Position<const N: usize> {}

/// The arguments of a handler, of which exactly one is an
/// [`Event<T>`](crate::Event) whose `T` is an [`EventType`].
///
/// Implemented for up to eight arguments with the event at any place; `P` is
/// the [`Position`], which the compiler finds. There is nothing to implement.
#[diagnostic::on_unimplemented(
    message = "none of the handler's arguments `{Self}` names its event",
    label = "`on_event` finds no `Event<T>` with `T: EventType` among the arguments",
    note = "derive it for the payload: `#[derive(EventType)]` with `#[event(\"…\")]`",
    note = "or register the handler by name: `.on(\"…\", handler)`"
)]
pub trait NamesEvent<P> {
    /// The event's type.
    const EVENT_TYPE: &'static str;
}

/// Calls a macro with each list of arguments from none to eight.
macro_rules! every_arity {
    ($each:ident) => {
        $each!();
        $each!(A1);
        $each!(A1, A2);
        $each!(A1, A2, A3);
        $each!(A1, A2, A3, A4);
        $each!(A1, A2, A3, A4, A5);
        $each!(A1, A2, A3, A4, A5, A6);
        $each!(A1, A2, A3, A4, A5, A6, A7);
        $each!(A1, A2, A3, A4, A5, A6, A7, A8);
    };
}
pub(super) use every_arity;

/// Implements [`NamesEvent`] for one place: what stands before, what behind.
macro_rules! impl_names {
    ($position:literal, [$($before:ident),*], [$($behind:ident),*]) => {
        #[diagnostic::do_not_recommend]
        impl<$($before,)* T: EventType, $($behind,)*> NamesEvent<Position<$position>>
            for ($($before,)* Event<T>, $($behind,)*)
        {
            const EVENT_TYPE: &'static str = T::EVENT_TYPE;
        }
    };
}

/// For one place, all numbers of arguments behind it.
macro_rules! impl_names_at {
    ($position:literal, [$($before:ident),*], []) => {
        impl_names!($position, [$($before),*], []);
    };
    ($position:literal, [$($before:ident),*], [$first:ident $(, $behind:ident)*]) => {
        impl_names!($position, [$($before),*], [$first $(, $behind)*]);
        impl_names_at!($position, [$($before),*], [$($behind),*]);
    };
}

impl_names_at!(0, [], [B1, B2, B3, B4, B5, B6, B7]);
impl_names_at!(1, [A1], [B1, B2, B3, B4, B5, B6]);
impl_names_at!(2, [A1, A2], [B1, B2, B3, B4, B5]);
impl_names_at!(3, [A1, A2, A3], [B1, B2, B3, B4]);
impl_names_at!(4, [A1, A2, A3, A4], [B1, B2, B3]);
impl_names_at!(5, [A1, A2, A3, A4, A5], [B1, B2]);
impl_names_at!(6, [A1, A2, A3, A4, A5, A6], [B1]);
impl_names_at!(7, [A1, A2, A3, A4, A5, A6, A7], []);
