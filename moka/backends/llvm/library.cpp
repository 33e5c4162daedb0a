// Opening libLLVM and making object files with it.
// SPDX-License-Identifier: Apache-2.0
#include "moka/backends/llvm/library.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>

#include "moka/backends/llvm/cache.h"
#include "moka/base/text.h"
#include "moka/schema/log.h"

namespace moka::llvm {

namespace {
// LLVM's C interface, which keeps its signatures: pointers are opaque, enumerations and flags are ints.
struct Library {
  void* (*ContextCreate)();
  void (*ContextDispose)(void* context);
  void* (*CreateMemoryBufferWithMemoryRangeCopy)(const char* data, size_t length, const char* name);
  int (*ParseIRInContext)(void* context, void* buffer, void** module, char** message);
  void (*DisposeModule)(void* module);
  void (*DisposeMessage)(char* message);
  void (*SetModuleDataLayout)(void* module, void* layout);
  int (*GetTargetFromTriple)(const char* triple, void** target, char** message);
  void* (*CreateTargetMachine)(void* target, const char* triple, const char* processor, const char* features,
                               int level, int relocation, int code_model);
  void* (*CreateTargetDataLayout)(void* machine);
  void (*DisposeTargetData)(void* layout);
  int (*TargetMachineEmitToMemoryBuffer)(void* machine, void* module, int file_type, char** message,
                                         void** buffer);
  const char* (*GetBufferStart)(void* buffer);
  size_t (*GetBufferSize)(void* buffer);
  void (*DisposeMemoryBuffer)(void* buffer);

  std::string version, why;
  bool found = false;
  std::mutex mutex;  // of what follows
  std::map<std::string, void*> machines;  // by triple and processor
};
constexpr int level_default = 2, relocation_pic = 2, code_model_small = 3, object_file = 1;

// Targets that this libLLVM has; each says so by four functions.
void add_target(void* file, const char* name) {
  for (const char* part : {"TargetInfo", "Target", "TargetMC", "AsmPrinter"})
    if (void* add = dlsym(file, cat("LLVMInitialize", name, part).c_str()))
      reinterpret_cast<void (*)()>(add)();
}

void open_library(Library& l) {
  const char* given = std::getenv("MOKA_LLVM");
  if (given && !std::strcmp(given, "0")) {
    l.why = "libLLVM is switched off by MOKA_LLVM=0";
    return;
  }
  void* file = nullptr;
  if (given && *given) {
    file = dlopen(given, RTLD_NOW | RTLD_LOCAL);
  } else {
    for (int version = 21; version >= 15 && !file; version--)
      for (const std::string& name : {cat("libLLVM.so.", version, ".1"), cat("libLLVM-", version, ".so.1"),
                                      cat("libLLVM-", version, ".so")})
        if (!file) file = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (!file) {
    const char* error = dlerror();
    l.why = given && *given ? cat("MOKA_LLVM cannot be opened: ", error ? error : given)
                            : "no libLLVM of versions 15 to 21 is installed (Debian: libllvm19)";
    return;
  }
  const auto find = [&](auto& function, const char* name) {
    function =
        reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(file, cat("LLVM", name).c_str()));
    if (!function && l.why.empty()) l.why = cat("libLLVM has no function LLVM", name);
  };
#define MOKA_LLVM_FUNCTION(name) find(l.name, #name)
  MOKA_LLVM_FUNCTION(ContextCreate);
  MOKA_LLVM_FUNCTION(ContextDispose);
  MOKA_LLVM_FUNCTION(CreateMemoryBufferWithMemoryRangeCopy);
  MOKA_LLVM_FUNCTION(ParseIRInContext);
  MOKA_LLVM_FUNCTION(DisposeModule);
  MOKA_LLVM_FUNCTION(DisposeMessage);
  MOKA_LLVM_FUNCTION(SetModuleDataLayout);
  MOKA_LLVM_FUNCTION(GetTargetFromTriple);
  MOKA_LLVM_FUNCTION(CreateTargetMachine);
  MOKA_LLVM_FUNCTION(CreateTargetDataLayout);
  MOKA_LLVM_FUNCTION(DisposeTargetData);
  MOKA_LLVM_FUNCTION(TargetMachineEmitToMemoryBuffer);
  MOKA_LLVM_FUNCTION(GetBufferStart);
  MOKA_LLVM_FUNCTION(GetBufferSize);
  MOKA_LLVM_FUNCTION(DisposeMemoryBuffer);
#undef MOKA_LLVM_FUNCTION
  if (!l.why.empty()) return;
  add_target(file, "X86");
  add_target(file, "AArch64");
  l.version = "15";
  if (void* version = dlsym(file, "LLVMGetVersion")) {  // since 16
    unsigned parts[3] = {};
    reinterpret_cast<void (*)(unsigned*, unsigned*, unsigned*)>(version)(parts, parts + 1, parts + 2);
    l.version = cat(parts[0], ".", parts[1], ".", parts[2]);
  }
  l.found = true;
}

Library& library() {
  static Library* l = [] {
    Library* made = new Library;  // never closed: its own exit handlers may run later
    open_library(*made);
    if (log_enabled(Log::Backends))
      log_line(Log::Backends, made->found ? cat("llvm: ", made->version) : cat("llvm: ", made->why));
    return made;
  }();
  return *l;
}

bool fails(Library& l, char* message, std::string& why) {
  why = message ? message : "it does not say why";
  if (message) l.DisposeMessage(message);
  return false;
}

// Size and time of a file; nothing where it is not there.
std::string state_of(const std::string& path) {
  struct stat s;
  return stat(path.c_str(), &s) ? std::string()
                                : cat(s.st_size, " ", s.st_mtim.tv_sec, " ", s.st_mtim.tv_nsec);
}

void* machine_for(Library& l, const std::string& triple, const std::string& processor, std::string& why) {
  void*& machine = l.machines[cat(triple, " ", processor)];
  if (machine) return machine;
  void* target = nullptr;
  char* message = nullptr;
  if (l.GetTargetFromTriple(triple.c_str(), &target, &message)) {
    fails(l, message, why);
    return nullptr;
  }
  machine = l.CreateTargetMachine(target, triple.c_str(), processor.c_str(), "", level_default,
                                  relocation_pic, code_model_small);
  if (!machine) why = cat("there is no target ", triple);
  return machine;
}
}  // namespace

bool find_library(std::string* why) {
  Library& l = library();
  if (!l.found && why) *why = l.why;
  return l.found;
}

std::string library_version(std::string* why) {
  const char* given = std::getenv("MOKA_LLVM");
  const std::string wish = given ? given : "", folder = cache_folder();
  const std::string note = folder.empty() ? std::string() : folder + "/llvm";
  if (std::string wished, path, state, version; !note.empty() && wish != "0") {
    std::ifstream in(note);
    if (std::getline(in, wished) && std::getline(in, path) && std::getline(in, state) &&
        std::getline(in, version) && wished == wish && !state.empty() && state == state_of(path))
      return version;
  }
  if (!find_library(why)) return {};
  const Library& l = library();
  Dl_info where;
  if (!note.empty() && dladdr(reinterpret_cast<void*>(l.ContextCreate), &where) && where.dli_fname) {
    make_cache_folder();
    std::ofstream(note) << wish << "\n"
                        << where.dli_fname << "\n"
                        << state_of(where.dli_fname) << "\n"
                        << l.version << "\n";
  }
  return l.version;
}

bool compile(std::string_view text, std::string_view triple, std::string_view processor, std::string& object,
             std::string& why) {
  if (!find_library(&why)) return false;
  Library& l = library();
  std::lock_guard lock(l.mutex);
  void* machine = machine_for(l, std::string(triple), std::string(processor), why);
  if (!machine) return false;
  struct Context {
    Library& l;
    void* context;
    void* module = nullptr;
    void* object = nullptr;
    ~Context() {
      if (object) l.DisposeMemoryBuffer(object);
      if (module) l.DisposeModule(module);
      l.ContextDispose(context);
    }
  } c{l, l.ContextCreate()};
  char* message = nullptr;
  // The buffer belongs to the parser from here on.
  void* buffer = l.CreateMemoryBufferWithMemoryRangeCopy(text.data(), text.size(), "region");
  if (l.ParseIRInContext(c.context, buffer, &c.module, &message)) return fails(l, message, why);
  void* layout = l.CreateTargetDataLayout(machine);
  l.SetModuleDataLayout(c.module, layout);
  l.DisposeTargetData(layout);
  if (l.TargetMachineEmitToMemoryBuffer(machine, c.module, object_file, &message, &c.object))
    return fails(l, message, why);
  object.assign(l.GetBufferStart(c.object), l.GetBufferSize(c.object));
  return true;
}

}  // namespace moka::llvm
