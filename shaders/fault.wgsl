// Reporting a bad index: a kernel cannot raise, so it leaves a note that the next host read turns into an error.
// Threads may write at once; any one of their notes will do.

fn checked_index(index: i32, size: u32, op: u32) -> i32 {
    if index >= 0 && index < i32(size) { return index; }
    fault[0] = i32(op);
    fault[1] = index;
    fault[2] = i32(size);
    return -1;
}
