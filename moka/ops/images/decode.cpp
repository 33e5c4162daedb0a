// The operator that decodes images.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/images/codecs.h"
#include "moka/ops/images/images.h"
#include "moka/ops/kernels/arguments.h"

namespace moka::ops {

namespace {
void run(Frame& f) {
  const Tensor& given = tensor_argument(f, 0);
  MOKA_CHECK(given.dtype() == DType::U8 && given.dim() == 1, f.name(),
             ": 'input' must be uint8 with one dimension, got ", given.dtype(), given.sizes());
  const std::string_view format = f.string(1);
  const bool grey = format == "Grayscale", reversed = format == "BGR";
  MOKA_CHECK_KIND(Value, grey || reversed || format == "RGB", f.name(),
                  ": 'pixel_format' must be RGB, BGR or Grayscale, got '", format, "'");
  f.sizes_of_values(-1);
  const Tensor bytes = as_contiguous(given);
  const Image image =
      decode(bytes.numel() ? std::string_view(bytes.data<char>(), bytes.bytes()) : std::string_view());
  const int64_t channels = grey ? 1 : 3;
  f.outs.resize(1);
  f.outs[0] = new_tensor(Dims{image.height, image.width, image.rgb.empty() ? 0 : channels}, DType::U8);
  uint8_t* to = f.outs[0].numel() ? f.outs[0].data<uint8_t>() : nullptr;
  for (size_t i = 0; i < image.rgb.size(); i += 3) {
    const uint8_t* p = image.rgb.data() + i;
    // ITU-R 601 luma in 16 bits, rounded
    if (grey) *to++ = static_cast<uint8_t>((p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16);
    else
      for (int c = 0; c < 3; c++) *to++ = p[reversed ? 2 - c : c];
  }
}
}  // namespace

constinit const Op decode_image_op{
    .schema = "decode_image(Tensor input, str pixel_format='RGB') -> Tensor",
    .doc =
        "The picture that the bytes of an image file hold, as uint8 [height, width, channels]; empty where "
        "they hold none.",
    .method = "none",
    .view = run,
    .derivative = none("it holds bytes"),
    .onnx = {{.map = "ImageDecoder(input, pixel_format=pixel_format)", .since = 20}},
    .netdef = none("NetDefs read images from databases"),
};

}  // namespace moka::ops

MOKA_OP_TABLE(images, MOKA_IMAGES_OPS)
