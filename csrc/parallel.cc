#include "parallel.h"

#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace engine {

void parallel_for(long n_items, int n_threads, const std::function<void(long)>& work) {
  if (n_threads > n_items) n_threads = static_cast<int>(n_items);
  if (n_threads <= 1) {
    for (long i = 0; i < n_items; i++) work(i);
    return;
  }
  std::atomic<long> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  const auto worker = [&] {
    try {
      for (long i; (i = next++) < n_items && !failed;) work(i);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(n_threads - 1);
  try {
    for (int t = 1; t < n_threads; t++) threads.emplace_back(worker);
  } catch (const std::system_error&) {
    // The system refuses more threads: those that started, and this one, do all the work.
  }
  worker();
  for (std::thread& thread : threads) thread.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace engine
