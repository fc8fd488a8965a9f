// A new-handler. What it needs is made beforehand, for there is no memory left when it runs.
#include "tools/out_of_memory.h"

#include <c10/util/Exception.h>
#include <omp.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <new>
#include <thread>

#include "core/error.h"

namespace smartbird {
namespace {

struct LastWords {
  const Session* session = nullptr;
  std::string line;
  std::thread::id thread;
};

LastWords& last_words() {
  static LastWords words;
  return words;
}

void on_missing_memory() {
  const LastWords& words = last_words();
  if (std::this_thread::get_id() == words.thread && omp_get_level() == 0) throw std::bad_alloc();
  static std::atomic_flag spoken;
  while (spoken.test_and_set()) pause();  // another thread is ending the process
  std::fputs(words.line.c_str(), stderr);
  words.session->abort(exit_code(ErrorKind::Memory));
}

}  // namespace

std::string out_of_memory_text(const std::string& command) {
  if (command == "pretrain" || command == "finetune" || command == "evaluate")
    return "out of memory; lower train.micro_tokens or the model's sizes, or set memory.recompute=layer";
  if (command == "bench")
    return "out of memory; lower --tokens, --heads, --head-width or --picks, of a step --layers or --width";
  return "out of memory: this machine, or the limit of the process (ulimit -v), has too little left";
}

bool is_out_of_memory(const std::exception& e) {
  const std::string text = e.what();
  return dynamic_cast<const std::bad_alloc*>(&e) != nullptr ||
         dynamic_cast<const c10::OutOfMemoryError*>(&e) != nullptr ||  // of a GPU
         text.find("can't allocate memory") != std::string::npos ||
         text.find("Storage size calculation overflowed") != std::string::npos;
}

void end_where_memory_is_missing(const Session& session, const std::string& command) {
  const std::string where = session.rank() == 0 ? "" : join("[rank ", session.rank(), "] ");
  last_words() = {&session, join("smartbird: ", where, out_of_memory_text(command), "\n"), std::this_thread::get_id()};
  std::set_new_handler(on_missing_memory);
}

}  // namespace smartbird
