// Session of a build without MPI: one rank.
#include <cstdlib>

#include "comm/launcher.h"
#include "comm/self_comm.h"
#include "comm/session.h"
#include "core/error.h"

namespace smartbird {

Session::Session(int* /*argc*/, char*** /*argv*/) {}
Session::~Session() = default;

std::unique_ptr<Communicator> Session::everyone() const {
  SB_CHECK(launcher_tasks() <= 1, Environment, "the launcher started ", launcher_tasks(),
           " tasks but this build has no MPI; configure with -DSMARTBIRD_MPI=ON or start one task");
  return std::make_unique<SelfComm>();
}

int Session::rank() const { return 0; }
int Session::size() const { return 1; }
void Session::abort(int exit_code) const { std::_Exit(exit_code); }
std::string Session::description() { return "none"; }

}  // namespace smartbird
