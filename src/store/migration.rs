//! Numbered steps that bring old data to the present form.
