// Goes on writing from a few words with the model that train.py left: the native predictor, no Python.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "moka/predictor/predictor.h"

namespace {
// The characters of a UTF-8 text.
std::vector<std::string> characters_of(const std::string& text) {
  std::vector<std::string> out;
  for (char c : text) {
    if ((c & 0xC0) == 0x80 && !out.empty()) out.back() += c;
    else out.emplace_back(1, c);
  }
  return out;
}

// The number of the next character: the likeliest at temperature 0, else drawn.
int64_t choose(const float* scores, int64_t count, double temperature, std::mt19937& random) {
  const float* best = std::max_element(scores, scores + count);
  if (temperature <= 0) return best - scores;
  std::vector<double> shares(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; i++)
    shares[static_cast<size_t>(i)] = std::exp((scores[i] - *best) / temperature);
  return std::discrete_distribution<int64_t>(shares.begin(), shares.end())(random);
}
}  // namespace

int main(int count, char** words) try {
  if (count < 4) {
    std::printf(
        "usage: text_example FOLDER PROMPT COUNT [TEMPERATURE] [SEED]\n\n"
        "Writes COUNT characters behind PROMPT with FOLDER/model.moka. TEMPERATURE 0 (the default) takes "
        "the\n"
        "likeliest character each time, 1 draws as the model says.\n");
    return 2;
  }
  const std::string folder = words[1];
  const double temperature = count > 4 ? std::atof(words[4]) : 0;
  std::mt19937 random(count > 5 ? static_cast<unsigned>(std::atol(words[5])) : 0);
  constexpr size_t context = 64;

  const moka::Predictor model = moka::Predictor::load(folder + "/model.moka");
  std::ifstream file(folder + "/characters.txt", std::ios::binary);
  const std::vector<std::string> alphabet =
      characters_of(std::string(std::istreambuf_iterator<char>(file), {}));

  std::vector<int64_t> text;
  for (const std::string& c : characters_of(words[2])) {
    const auto found = std::find(alphabet.begin(), alphabet.end(), c);
    if (found == alphabet.end())
      throw moka::Error(moka::ErrorKind::Value, "the model never saw the character '" + c + "'");
    text.push_back(found - alphabet.begin());
  }
  if (text.empty()) throw moka::Error(moka::ErrorKind::Value, "the prompt is empty");
  std::printf("%s", words[2]);
  for (long left = std::atol(words[3]); left > 0; left--) {
    const size_t length = std::min(text.size(), context);
    const int64_t sizes[] = {1, static_cast<int64_t>(length)};
    moka::Tensor seen = moka::new_tensor(sizes, moka::DType::I64);
    std::copy(text.end() - static_cast<std::ptrdiff_t>(length), text.end(), seen.data<int64_t>());
    const moka::Tensor scores = model.run({&seen, 1})[0];
    const int64_t kinds = scores.size(2);
    text.push_back(choose(scores.data<float>() + scores.numel() - kinds, kinds, temperature, random));
    std::printf("%s", alphabet[static_cast<size_t>(text.back())].c_str());
  }
  std::printf("\n");
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
