// Loading object files: sections side by side in one piece of memory, relocations between them, then execution only.
// SPDX-License-Identifier: Apache-2.0
#include "moka/backends/llvm/object.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "moka/base/text.h"

namespace moka::llvm {

namespace {
constexpr uint64_t most_bytes = uint64_t(16) << 20;
#if defined(__aarch64__)
constexpr uint16_t machine = EM_AARCH64;
#else
constexpr uint16_t machine = EM_X86_64;
#endif

class Loader {
 public:
  Loader(std::string_view file, std::string& why) : file_(file), why_(why) {}
  ~Loader() {
    if (memory_ != MAP_FAILED && !kept_) munmap(memory_, size_);
  }

  void* load(std::string_view function) {
    if (!read_header() || !place_sections() || !relocate()) return nullptr;
    void* address = find(function);
    if (!address) return nullptr;
    if (mprotect(memory_, size_, PROT_READ | PROT_EXEC))
      return fail("memory cannot be made executable"), nullptr;
    __builtin___clear_cache(static_cast<char*>(memory_), static_cast<char*>(memory_) + size_);
    kept_ = true;
    return address;
  }

 private:
  bool fail(std::string_view text) {
    why_ = text;
    return false;
  }
  // A record in the file; false where it does not lie in it.
  template <class T>
  bool read(uint64_t at, T& out) const {
    if (at > file_.size() || file_.size() - at < sizeof out) return false;
    std::memcpy(&out, file_.data() + at, sizeof out);
    return true;
  }
  bool lies_inside(uint64_t at, uint64_t bytes) const {
    return at <= file_.size() && bytes <= file_.size() - at;
  }

  bool read_header() {
    Elf64_Ehdr h;
    if (!read(0, h) || std::memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 ||
        h.e_ident[EI_DATA] != ELFDATA2LSB || h.e_type != ET_REL || h.e_machine != machine ||
        h.e_shentsize != sizeof(Elf64_Shdr) || h.e_shnum > 1000)
      return fail("it is no object file for this processor");
    sections_.resize(h.e_shnum);
    for (size_t i = 0; i < sections_.size(); i++) {
      if (!read(h.e_shoff + i * sizeof(Elf64_Shdr), sections_[i])) return fail("its sections are cut off");
      const Elf64_Shdr& s = sections_[i];
      if (s.sh_type != SHT_NOBITS && !lies_inside(s.sh_offset, s.sh_size))
        return fail("a section is cut off");
    }
    return true;
  }

  bool place_sections() {
    places_.assign(sections_.size(), -1);
    uint64_t end = 0;
    for (size_t i = 0; i < sections_.size(); i++) {
      const Elf64_Shdr& s = sections_[i];
      // Tables for unwinding are sections of their own type, or are never read.
      if (!(s.sh_flags & SHF_ALLOC) || s.sh_type != SHT_PROGBITS) continue;
      if (s.sh_flags & (SHF_WRITE | SHF_TLS)) return fail("it has data that are written");
      const uint64_t align = s.sh_addralign ? s.sh_addralign : 1;
      if (align > 4096 || (align & (align - 1)) || s.sh_size > most_bytes)
        return fail("a section is too large");
      end = (end + align - 1) / align * align;
      places_[i] = static_cast<int64_t>(end);
      end += s.sh_size;
      if (end > most_bytes) return fail("it is too large");
    }
    const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    size_ = (end + page) / page * page;
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) return fail("there is no memory for it");
    for (size_t i = 0; i < sections_.size(); i++)
      if (places_[i] >= 0)
        std::memcpy(at(places_[i]), file_.data() + sections_[i].sh_offset, sections_[i].sh_size);
    return true;
  }
  char* at(int64_t place) const { return static_cast<char*>(memory_) + place; }

  bool symbol(const Elf64_Shdr& table, uint64_t index, Elf64_Sym& out) const {
    return index < table.sh_size / sizeof out && read(table.sh_offset + index * sizeof out, out);
  }
  // The place of what a symbol names, or -1.
  int64_t place_of(const Elf64_Sym& s) const {
    if (s.st_shndx == SHN_UNDEF || s.st_shndx >= sections_.size() || places_[s.st_shndx] < 0) return -1;
    if (s.st_value > sections_[s.st_shndx].sh_size) return -1;
    return places_[s.st_shndx] + static_cast<int64_t>(s.st_value);
  }

  bool relocate() {
    for (const Elf64_Shdr& s : sections_) {
      if (s.sh_type != SHT_RELA || s.sh_info >= sections_.size() || places_[s.sh_info] < 0) continue;
      if (s.sh_link >= sections_.size()) return fail("a table of relocations is damaged");
      for (uint64_t i = 0; i < s.sh_size / sizeof(Elf64_Rela); i++) {
        Elf64_Rela r;
        Elf64_Sym to;
        if (!read(s.sh_offset + i * sizeof r, r) || !symbol(sections_[s.sh_link], ELF64_R_SYM(r.r_info), to))
          return fail("a relocation is damaged");
        const int64_t target = place_of(to);
        if (target < 0) return fail("it needs something from outside");
        if (r.r_offset > sections_[s.sh_info].sh_size || sections_[s.sh_info].sh_size - r.r_offset < 4)
          return fail("a relocation lies outside of its section");
        if (!apply(static_cast<uint32_t>(ELF64_R_TYPE(r.r_info)),
                   places_[s.sh_info] + static_cast<int64_t>(r.r_offset), target + r.r_addend))
          return fail(cat("relocations of type ", ELF64_R_TYPE(r.r_info), " are not known"));
      }
    }
    return true;
  }
  bool apply(uint32_t type, int64_t place, int64_t target) const {
    uint32_t word;
    std::memcpy(&word, at(place), 4);
#if defined(__aarch64__)
    const uint64_t address = reinterpret_cast<uint64_t>(at(target)),
                   here = reinterpret_cast<uint64_t>(at(place));
    const auto low = [&](int scale) { word |= static_cast<uint32_t>((address & 0xfff) >> scale) << 10; };
    switch (type) {
      case R_AARCH64_ADR_PREL_PG_HI21: {
        const int64_t pages = static_cast<int64_t>((address >> 12) - (here >> 12));
        word |= static_cast<uint32_t>(pages & 3) << 29 | static_cast<uint32_t>(pages >> 2 & 0x7ffff) << 5;
        break;
      }
      case R_AARCH64_ADD_ABS_LO12_NC:
      case R_AARCH64_LDST8_ABS_LO12_NC: low(0); break;
      case R_AARCH64_LDST16_ABS_LO12_NC: low(1); break;
      case R_AARCH64_LDST32_ABS_LO12_NC: low(2); break;
      case R_AARCH64_LDST64_ABS_LO12_NC: low(3); break;
      case R_AARCH64_LDST128_ABS_LO12_NC: low(4); break;
      default: return false;
    }
#else
    if (type != R_X86_64_PC32 && type != R_X86_64_PLT32) return false;
    word = static_cast<uint32_t>(target - place);
#endif
    std::memcpy(at(place), &word, 4);
    return true;
  }

  void* find(std::string_view function) {
    for (const Elf64_Shdr& s : sections_) {
      if (s.sh_type != SHT_SYMTAB || s.sh_link >= sections_.size()) continue;
      const Elf64_Shdr& names = sections_[s.sh_link];
      Elf64_Sym found;
      for (uint64_t i = 0; symbol(s, i, found); i++) {
        if (found.st_name >= names.sh_size || ELF64_ST_TYPE(found.st_info) != STT_FUNC) continue;
        const std::string_view rest =
            file_.substr(names.sh_offset + found.st_name, names.sh_size - found.st_name);
        if (rest.substr(0, rest.find('\0')) != function) continue;
        const int64_t place = place_of(found);
        if (place >= 0) return at(place);
      }
    }
    fail(cat("it has no function ", function));
    return nullptr;
  }

  std::string_view file_;
  std::string& why_;
  std::vector<Elf64_Shdr> sections_;
  std::vector<int64_t> places_;  // of sections in memory, -1: none
  void* memory_ = MAP_FAILED;
  size_t size_ = 0;
  bool kept_ = false;
};
}  // namespace

void* load_object(std::string_view file, std::string_view function, std::string& why) {
  return Loader(file, why).load(function);
}

}  // namespace moka::llvm
