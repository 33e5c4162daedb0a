// Image files by the system's libraries. They are opened when a picture of their kind comes, so that nothing depends on
// them otherwise; declarations follow the libraries' stable interfaces.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/images/codecs.h"

#include <dlfcn.h>

#include <cstdarg>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>

#include "moka/base/error.h"
#if __has_include(<jpeglib.h>)
#include <jpeglib.h>
#define MOKA_JPEG 1
#endif

namespace moka::ops {

namespace {

constexpr int64_t most_pixels = int64_t(1) << 28;

bool sized(Image& image, int64_t width, int64_t height) {
  if (width <= 0 || height <= 0 || width > most_pixels || height > most_pixels ||
      width * height > most_pixels)
    return false;
  image.width = width;
  image.height = height;
  image.rgb.resize(static_cast<size_t>(width * height * 3));
  return true;
}

class Library {
 public:
  Library(const char* format, const char* package, std::initializer_list<const char*> names) {
    for (const char* name : names)
      if ((handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL))) return;
    fail_kind(ErrorKind::NotImplemented, "decode_image: ", format, " images need the library ",
              *names.begin(), ", which this system does not have; install ", package);
  }
  template <class F>
  F* get(const char* name) const {
    void* p = dlsym(handle_, name);
    MOKA_CHECK_KIND(NotImplemented, p, "decode_image: the system's library has no function ", name);
    return reinterpret_cast<F*>(p);
  }

 private:
  void* handle_ = nullptr;
};

uint32_t little(std::string_view b, size_t at, int bytes) {
  uint32_t v = 0;
  for (int i = bytes; i-- > 0;) v = v << 8 | static_cast<uint8_t>(b[at + static_cast<size_t>(i)]);
  return v;
}

// ---- BMP: uncompressed, 1 to 32 bits a pixel

Image bmp(std::string_view b) {
  Image out;
  if (b.size() < 54) return {};
  const size_t data = little(b, 10, 4), header = little(b, 14, 4);
  if (header < 40 || header > b.size() - 14) return {};
  const int64_t width = static_cast<int32_t>(little(b, 18, 4)),
                signed_height = static_cast<int32_t>(little(b, 22, 4));
  const int64_t height = signed_height < 0 ? -signed_height : signed_height;
  const int bits = static_cast<int>(little(b, 28, 2));
  const uint32_t compression = little(b, 30, 4);
  if ((compression != 0 && compression != 3) || (compression == 3 && bits != 32) ||
      (bits != 1 && bits != 4 && bits != 8 && bits != 24 && bits != 32))
    return {};
  const size_t palette = 14 + header, colours = bits <= 8 ? (data - palette) / 4 : 0;
  if (width <= 0 || width > most_pixels) return {};
  const size_t stride = (static_cast<size_t>(width) * static_cast<size_t>(bits) + 31) / 32 * 4;
  if (height <= 0 || data > b.size() || data < palette ||
      (b.size() - data) / stride < static_cast<size_t>(height) || !sized(out, width, height))
    return {};
  for (int64_t y = 0; y < height; y++) {
    const size_t row = data + stride * static_cast<size_t>(signed_height < 0 ? y : height - 1 - y);
    uint8_t* to = out.rgb.data() + y * width * 3;
    for (int64_t x = 0; x < width; x++, to += 3) {
      size_t at = row + static_cast<size_t>(x) * static_cast<size_t>(bits) / 8;
      if (bits <= 8) {
        const int shift = 8 - bits - static_cast<int>(x * bits % 8);
        const size_t index = (static_cast<uint8_t>(b[at]) >> shift) & ((1u << bits) - 1);
        if (index >= colours) return {};
        at = palette + index * 4;
      }
      for (int c = 0; c < 3; c++) to[c] = static_cast<uint8_t>(b[at + 2 - static_cast<size_t>(c)]);
    }
  }
  return out;
}

// ---- PNM: P1 to P6

Image pnm(std::string_view b) {
  size_t at = 2;
  auto number = [&](int64_t& v) {
    for (;; at++) {
      if (at >= b.size()) return false;
      if (b[at] == '#')
        while (at < b.size() && b[at] != '\n') at++;
      else if (!std::strchr(" \t\r\n", b[at])) break;
    }
    const size_t from = at;
    for (v = 0; at < b.size() && b[at] >= '0' && b[at] <= '9'; at++)
      v = std::min<int64_t>(v * 10 + (b[at] - '0'), INT32_MAX);
    return at > from;
  };
  const int kind = b[1] - '0', channels = kind == 3 || kind == 6 ? 3 : 1;
  const bool text = kind <= 3, bitmap = kind == 1 || kind == 4;
  int64_t width, height, most = 1;
  Image out;
  if (!number(width) || !number(height) || (!bitmap && !number(most)) || most < 1 || most > 65535) return {};
  if (!text) at++;
  const int64_t bytes = most > 255 ? 2 : 1, columns = width * channels,
                row = kind == 4 ? (width + 7) / 8 : columns * bytes;
  if (width <= 0 || height <= 0 || width > most_pixels || at > b.size() ||
      static_cast<int64_t>(b.size() - at) / (text ? 1 : std::max<int64_t>(row, 1)) < (text ? 1 : height) ||
      !sized(out, width, height))
    return {};
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < columns; x++) {
      int64_t v = 0;
      if (text && bitmap) {  // digits may stand side by side
        while (at < b.size() && b[at] != '0' && b[at] != '1') at++;
        if (at >= b.size()) return {};
        v = b[at++] - '0';
      } else if (text) {
        if (!number(v)) return {};
      } else if (kind == 4) {
        v = static_cast<uint8_t>(b[at + static_cast<size_t>(y * row + x / 8)]) >> (7 - x % 8) & 1;
      } else {
        const size_t p = at + static_cast<size_t>(y * row + x * bytes);
        v = static_cast<uint8_t>(b[p]);
        if (bytes == 2) v = v << 8 | static_cast<uint8_t>(b[p + 1]);
      }
      v = bitmap ? (v ? 0 : 255) : std::min(v, most) * 255 / most;
      uint8_t* to = out.rgb.data() + (y * width + x / channels) * 3;
      if (channels == 3) to[x % 3] = static_cast<uint8_t>(v);
      else to[0] = to[1] = to[2] = static_cast<uint8_t>(v);
    }
  return out;
}

// ---- JPEG: libjpeg

#if MOKA_JPEG
struct JpegErrors {
  jpeg_error_mgr manager;
  std::jmp_buf back;
};

// No objects with destructors live here: errors jump out of it.
bool jpeg_rows(std::string_view b, Image& out, const Library& lib) {
  static const auto std_error = lib.get<decltype(jpeg_std_error)>("jpeg_std_error");
  static const auto create = lib.get<decltype(jpeg_CreateDecompress)>("jpeg_CreateDecompress");
  static const auto source = lib.get<decltype(jpeg_mem_src)>("jpeg_mem_src");
  static const auto header = lib.get<decltype(jpeg_read_header)>("jpeg_read_header");
  static const auto start = lib.get<decltype(jpeg_start_decompress)>("jpeg_start_decompress");
  static const auto read = lib.get<decltype(jpeg_read_scanlines)>("jpeg_read_scanlines");
  static const auto finish = lib.get<decltype(jpeg_finish_decompress)>("jpeg_finish_decompress");
  static const auto destroy = lib.get<decltype(jpeg_destroy_decompress)>("jpeg_destroy_decompress");
  jpeg_decompress_struct d;
  JpegErrors errors;
  d.err = std_error(&errors.manager);
  errors.manager.error_exit = [](j_common_ptr c) {
    std::longjmp(reinterpret_cast<JpegErrors*>(c->err)->back, 1);
  };
  errors.manager.output_message = [](j_common_ptr) {};
  if (setjmp(errors.back)) {
    destroy(&d);
    return false;
  }
  create(&d, JPEG_LIB_VERSION, sizeof d);
  source(&d, reinterpret_cast<const unsigned char*>(b.data()), b.size());
  header(&d, TRUE);
  const bool inks = d.jpeg_color_space == JCS_CMYK || d.jpeg_color_space == JCS_YCCK;
  d.out_color_space = inks ? JCS_CMYK : JCS_RGB;
  if (!sized(out, d.image_width, d.image_height)) {
    destroy(&d);
    return false;
  }
  start(&d);
  if (inks) {
    destroy(&d);
    fail_kind(ErrorKind::NotImplemented,
              "decode_image: JPEG images in CMYK are not read; convert them to RGB");
  }
  while (d.output_scanline < d.output_height) {
    JSAMPROW row = out.rgb.data() + static_cast<size_t>(d.output_scanline) * d.output_width * 3;
    read(&d, &row, 1);
  }
  finish(&d);
  destroy(&d);
  return true;
}
#endif

Image jpeg(std::string_view b) {
#if MOKA_JPEG
  static const Library lib("JPEG", "libjpeg62-turbo", {"libjpeg.so.62", "libjpeg.so.8", "libjpeg.so"});
  Image out;
  if (!jpeg_rows(b, out, lib)) return {};
  return out;
#else
  (void)b;
  fail_kind(ErrorKind::NotImplemented,
            "decode_image: this build reads no JPEG images: it was made without jpeglib.h (libjpeg-dev)");
#endif
}

// ---- PNG: the simple interface of libpng 1.6

struct PngImage {
  void* opaque = nullptr;
  uint32_t version = 1, width = 0, height = 0, format = 0, flags = 0, colormap_entries = 0,
           warning_or_error = 0;
  char message[64] = {};
};

Image png(std::string_view b) {
  static const Library lib("PNG", "libpng16-16", {"libpng16.so.16", "libpng16.so"});
  static const auto begin = lib.get<int(PngImage*, const void*, size_t)>("png_image_begin_read_from_memory");
  static const auto finish =
      lib.get<int(PngImage*, const void*, void*, int32_t, void*)>("png_image_finish_read");
  static const auto drop = lib.get<void(PngImage*)>("png_image_free");
  PngImage p;
  Image out;
  std::vector<uint8_t> rgba;
  if (!begin(&p, b.data(), b.size()) || !sized(out, p.width, p.height)) {
    drop(&p);
    return {};
  }
  p.format = 3;  // RGB and alpha, 8 bits: the alpha is dropped, not blended
  rgba.resize(out.rgb.size() / 3 * 4);
  if (!finish(&p, nullptr, rgba.data(), 0, nullptr)) {
    drop(&p);
    return {};
  }
  for (size_t i = 0; i < rgba.size() / 4; i++) std::copy_n(rgba.data() + 4 * i, 3, out.rgb.data() + 3 * i);
  return out;
}

// ---- WebP

Image webp(std::string_view b) {
  static const Library lib("WebP", "libwebp7", {"libwebp.so.7", "libwebp.so"});
  static const auto info = lib.get<int(const uint8_t*, size_t, int*, int*)>("WebPGetInfo");
  static const auto into =
      lib.get<uint8_t*(const uint8_t*, size_t, uint8_t*, size_t, int)>("WebPDecodeRGBInto");
  const auto* data = reinterpret_cast<const uint8_t*>(b.data());
  int width = 0, height = 0;
  Image out;
  if (!info(data, b.size(), &width, &height) || !sized(out, width, height)) return {};
  if (!into(data, b.size(), out.rgb.data(), out.rgb.size(), 3 * width)) return {};
  return out;
}

// ---- TIFF

struct Bytes {
  std::string_view data;
  size_t at = 0;
};

Image tiff(std::string_view b) {
  using Io = int64_t(void*, void*, int64_t);
  static const Library lib("TIFF", "libtiff6", {"libtiff.so.6", "libtiff.so.5", "libtiff.so"});
  static const auto open =
      lib.get<void*(const char*, const char*, void*, Io*, Io*, uint64_t(void*, uint64_t, int), int(void*),
                    uint64_t(void*), int(void*, void**, uint64_t*), void(void*, void*, uint64_t))>(
          "TIFFClientOpen");
  static const auto close = lib.get<void(void*)>("TIFFClose");
  static const auto field = lib.get<int(void*, uint32_t, ...)>("TIFFGetField");
  static const auto rgba_rows =
      lib.get<int(void*, uint32_t, uint32_t, uint32_t*, int, int)>("TIFFReadRGBAImageOriented");
  static const auto handler = [] {  // messages are not printed
    using Handler = void(const char*, const char*, va_list);
    lib.get<Handler*(Handler*)>("TIFFSetWarningHandler")(nullptr);
    lib.get<Handler*(Handler*)>("TIFFSetErrorHandler")(nullptr);
    return true;
  }();
  (void)handler;
  Bytes bytes{b};
  void* t = open(
      "image", "rm", &bytes,
      [](void* h, void* to, int64_t n) -> int64_t {
        auto* f = static_cast<Bytes*>(h);
        const size_t left = f->at < f->data.size() ? f->data.size() - f->at : 0,
                     count = std::min(left, static_cast<size_t>(n));
        std::memcpy(to, f->data.data() + std::min(f->at, f->data.size()), count);
        f->at += count;
        return static_cast<int64_t>(count);
      },
      [](void*, void*, int64_t) -> int64_t { return 0; },
      [](void* h, uint64_t offset, int from) -> uint64_t {
        auto* f = static_cast<Bytes*>(h);
        return f->at = static_cast<size_t>(offset) + (from == SEEK_CUR   ? f->at
                                                      : from == SEEK_END ? f->data.size()
                                                                         : 0);
      },
      [](void*) { return 0; }, [](void* h) -> uint64_t { return static_cast<Bytes*>(h)->data.size(); },
      [](void*, void**, uint64_t*) { return 0; }, [](void*, void*, uint64_t) {});
  if (!t) return {};
  uint32_t width = 0, height = 0;
  Image out;
  bool good = field(t, 256u, &width) && field(t, 257u, &height) && sized(out, width, height);
  std::vector<uint32_t> packed(good ? static_cast<size_t>(width) * height : 0);
  good = good && rgba_rows(t, width, height, packed.data(), 1, 0);  // from the top left
  close(t);
  if (!good) return {};
  for (size_t i = 0; i < packed.size(); i++)
    for (int c = 0; c < 3; c++)
      out.rgb[3 * i + static_cast<size_t>(c)] = static_cast<uint8_t>(packed[i] >> (8 * c));
  return out;
}

// ---- JPEG 2000: libopenjp2

struct OpjComponent {
  uint32_t dx, dy, w, h, x0, y0, prec, bpp, sgnd, resno_decoded, factor;
  int32_t* data;
  uint16_t alpha;
};
struct OpjImage {
  uint32_t x0, y0, x1, y1, components;
  int32_t space;
  OpjComponent* comps;
};

Image jpeg2000(std::string_view b, bool bare) {
  static const Library lib("JPEG 2000", "libopenjp2-7", {"libopenjp2.so.7", "libopenjp2.so"});
  static const auto defaults = lib.get<void(void*)>("opj_set_default_decoder_parameters");
  static const auto create = lib.get<void*(int)>("opj_create_decompress");
  static const auto setup = lib.get<int(void*, void*)>("opj_setup_decoder");
  static const auto drop_codec = lib.get<void(void*)>("opj_destroy_codec");
  static const auto new_stream = lib.get<void*(size_t, int)>("opj_stream_create");
  static const auto drop_stream = lib.get<void(void*)>("opj_stream_destroy");
  static const auto set_data = lib.get<void(void*, void*, void(void*))>("opj_stream_set_user_data");
  static const auto set_length = lib.get<void(void*, uint64_t)>("opj_stream_set_user_data_length");
  static const auto set_read =
      lib.get<void(void*, size_t(void*, size_t, void*))>("opj_stream_set_read_function");
  static const auto set_skip = lib.get<void(void*, int64_t(int64_t, void*))>("opj_stream_set_skip_function");
  static const auto set_seek = lib.get<void(void*, int(int64_t, void*))>("opj_stream_set_seek_function");
  static const auto header = lib.get<int(void*, void*, OpjImage**)>("opj_read_header");
  static const auto decode = lib.get<int(void*, void*, OpjImage*)>("opj_decode");
  static const auto drop_image = lib.get<void(OpjImage*)>("opj_image_destroy");
  Bytes bytes{b};
  void* stream = new_stream(1 << 16, 1);
  void* codec = create(bare ? 0 : 2);
  alignas(16) char parameters[1 << 15];  // larger than the library's, which fills it
  OpjImage* image = nullptr;
  Image out;
  defaults(parameters);
  set_data(stream, &bytes, [](void*) {});
  set_length(stream, b.size());
  set_read(stream, [](void* to, size_t n, void* h) -> size_t {
    auto* f = static_cast<Bytes*>(h);
    const size_t count = std::min(n, f->data.size() - std::min(f->at, f->data.size()));
    if (count == 0) return static_cast<size_t>(-1);
    std::memcpy(to, f->data.data() + f->at, count);
    f->at += count;
    return count;
  });
  set_skip(stream, [](int64_t n, void* h) -> int64_t {
    auto* f = static_cast<Bytes*>(h);
    if (n < 0) return -1;
    f->at = std::min(f->data.size(), f->at + static_cast<size_t>(n));
    return n;
  });
  set_seek(stream, [](int64_t to, void* h) -> int {
    auto* f = static_cast<Bytes*>(h);
    if (to < 0 || static_cast<size_t>(to) > f->data.size()) return 0;
    f->at = static_cast<size_t>(to);
    return 1;
  });
  bool good = setup(codec, parameters) && header(stream, codec, &image) && image;
  good = good && sized(out, int64_t(image->x1) - image->x0, int64_t(image->y1) - image->y0) &&
         decode(codec, stream, image);
  const uint32_t count = good ? image->components : 0;
  for (uint32_t c = 0; good && c < count; c++) {
    const OpjComponent& p = image->comps[c];
    good = p.data && p.w == out.width && p.h == out.height && p.prec >= 1 && p.prec <= 16;
  }
  // Luma and chroma (sYCC) would need another conversion than the copy below.
  good = good && count >= 1 && image->space != 3;
  for (size_t i = 0; good && i < out.rgb.size(); i++) {
    const OpjComponent& p = image->comps[count >= 3 ? i % 3 : 0];
    const int32_t v = p.data[i / 3] + (p.sgnd ? 1 << (p.prec - 1) : 0);
    out.rgb[i] = static_cast<uint8_t>(std::clamp(p.prec > 8 ? v >> (p.prec - 8) : v << (8 - p.prec), 0, 255));
  }
  if (image) drop_image(image);
  drop_codec(codec);
  drop_stream(stream);
  if (!good) return {};
  return out;
}

}  // namespace

Image decode(std::string_view b) {
  using namespace std::string_view_literals;
  Image out;
  if (b.starts_with("BM")) out = bmp(b);
  else if (b.size() > 2 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6') out = pnm(b);
  else if (b.starts_with("\xff\xd8\xff")) out = jpeg(b);
  else if (b.starts_with("\x89PNG\r\n\x1a\n")) out = png(b);
  else if (b.size() > 12 && b.starts_with("RIFF") && b.substr(8, 4) == "WEBP") out = webp(b);
  else if (b.starts_with("II*\0"sv) || b.starts_with("MM\0*"sv)) out = tiff(b);
  else if (b.starts_with("\0\0\0\x0cjP  \r\n\x87\n"sv)) out = jpeg2000(b, false);
  else if (b.starts_with("\xff\x4f\xff\x51")) out = jpeg2000(b, true);
  if (out.rgb.empty()) return {};
  return out;
}

}  // namespace moka::ops
