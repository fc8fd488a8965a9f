// main: starts the session, picks the subcommand, prints an error once and ends all ranks with its exit code.
#include <malloc.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "comm/nccl_groups.h"
#include "comm/session.h"
#include "core/build_info.h"
#include "core/error.h"
#include "tools/commands.h"
#include "tools/data_commands.h"
#include "tools/environment.h"
#include "tools/out_of_memory.h"

namespace {

using namespace smartbird;

constexpr const char* kUsage =
    "smartbird SUBCOMMAND [arguments]\n\n"
    "  pretrain    train a model from scratch         --config configs/books.ini [--section.key=value ...]\n"
    "  finetune    train on from a checkpoint         --config configs/authors.ini --init.checkpoint=DIR\n"
    "  evaluate    measure a checkpoint               --checkpoint=DIR [--data.test=PATH]\n"
    "  generate    write on from a prompt             --checkpoint=DIR --prompt=TEXT\n"
    "  data        tokenize | inspect | listops | recall\n"
    "  checkpoint  inspect | verify DIR\n"
    "  bench       attention | step | kernels | exchange: measure  --tokens=16384 --rival=sdpa\n"
    "  plan        predict memory, work, time and traffic of a run  --config configs/books.ini --ranks=4\n"
    "  simulate    lay recorded picks over up to 4,096 ranks  --picks=RUN/picks/FILE\n"
    "  options     every option, its default and range [--markdown]\n\n"
    "Each has --help; --version tells what this binary was built with. Several ranks: launch/run.sh -n P SUBCOMMAND "
    "...\n"
    "Exit codes: 0 done, 2 usage or configuration, 3 data or files, 4 environment, 5 out of memory, 6 non-finite "
    "values,\n"
    "7 peer lost, 75 stopped by a signal and resumable.\n";

void print_version(const Communicator& everyone) {
  if (everyone.rank() != 0) return;
  std::cout << build_text() << "MPI: " << Session::description() << "\nNCCL: " << nccl_version() << "\n";
}

// Runs no kernel.
bool asks_only(const std::string& command) {
  return command.empty() || command == "--help" || command == "-h" || command == "--version" || command == "options";
}

int run(const Session& session, const std::vector<std::string>& arguments) {
  auto everyone = session.everyone();
  const std::string command = arguments.empty() ? "" : arguments[0];
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (command == "pretrain" || command == "finetune")
    return train_command(std::move(everyone), rest, command == "finetune");
  if (command == "evaluate") return evaluate_command(std::move(everyone), rest);
  if (command == "generate") return generate_command(*everyone, rest);
  if (command == "data") return everyone->rank() == 0 ? data_command(rest) : 0;
  if (command == "checkpoint") return checkpoint_command(*everyone, rest);
  if (command == "bench") return bench_command(*everyone, rest);
  if (command == "plan") return plan_command(*everyone, rest);
  if (command == "simulate") return simulate_command(*everyone, rest);
  if (command == "options") return options_command(*everyone, rest);
  if (command == "--version") return print_version(*everyone), 0;
  if (command == "--help" || command == "-h") {
    if (everyone->rank() == 0) std::cout << kUsage;
    return 0;
  }
  if (command.empty()) {
    if (everyone->rank() == 0) std::cerr << kUsage;
    return exit_code(ErrorKind::Config);
  }
  fail(ErrorKind::Config, "unknown subcommand '", command, "'; see smartbird --help");
}

// Rank 0 speaks first; another rank's error is printed only if rank 0 has not ended the job by then. The launcher ends a
// job with SIGTERM, which a training run has caught.
[[noreturn]] void end_with(const Session& session, const std::string& text, int code) {
  std::signal(SIGTERM, SIG_DFL);
  if (session.rank() != 0) std::this_thread::sleep_for(std::chrono::seconds(2));
  const std::string where = session.rank() == 0 ? "" : "[rank " + std::to_string(session.rank()) + "] ";
  std::fprintf(stderr, "smartbird: %s%s\n", where.c_str(), text.c_str());
  std::fflush(nullptr);
  session.abort(code);
}

// Every step allocates and frees the same large arrays: keep them mapped instead of asking the system for zeroed pages
// each time.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  const Session session(&argc, &argv);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::string command = arguments.empty() ? "" : arguments[0];
  try {
    end_where_memory_is_missing(session, command);
    if (!asks_only(command)) choose_instruction_set();
    return run(session, arguments);
  } catch (const Error& e) {
    end_with(session, e.what(), exit_code(e.kind()));
  } catch (const std::filesystem::filesystem_error& e) {
    const std::string path = e.path1().empty() ? "" : e.path1().string() + ": ";
    end_with(session, path + e.code().message(), exit_code(ErrorKind::Io));
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) end_with(session, out_of_memory_text(command), exit_code(ErrorKind::Memory));
    const std::string text = e.what();
    end_with(session, "internal error: " + text.substr(0, text.find('\n')), exit_code(ErrorKind::Shape));
  }
}
