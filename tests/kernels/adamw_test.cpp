// AdamW against the fp64 reference at one ulp of the weight; the split master weight bit by bit; gradient statistics.
#include "kernels/adamw/adamw.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/adamw/adamw_reference.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {
using namespace dslite::test;

struct Format {
  const char* name;
  DType value, moment;
};
const Format kFormats[] = {{"float32_float32", DType::kFloat32, DType::kFloat32},
                           {"float32_bfloat16", DType::kFloat32, DType::kBFloat16},
                           {"split_float32", DType::kBFloat16, DType::kFloat32},
                           {"split_bfloat16", DType::kBFloat16, DType::kBFloat16}};

// Arrays that end at a guard page.
template <class T>
class Guarded {
 public:
  explicit Guarded(const std::vector<T>& values)
      : size_(values.size()),
        buffer_(size_ * sizeof(T)),
        data_(static_cast<T*>(buffer_.data()) + (64 - size_ * sizeof(T) % 64) % 64 / sizeof(T)) {
    std::copy(values.begin(), values.end(), data_);
  }
  T* data() { return data_; }
  std::vector<T> values() const { return {data_, data_ + size_}; }

 private:
  size_t size_;
  GuardedBuffer buffer_;
  T* data_;
};

struct State {
  std::vector<float> weight, exp_avg, exp_avg_sq;  // the split weight joined
};

AdamWReference<double> settings(int64_t step) {
  return {.learning_rate = 3e-4f,
          .beta1 = 0.9f,
          .beta2 = 0.95f,
          .eps = 1e-8f,
          .weight_decay = 0.1f,
          .bias_correction1 = static_cast<float>(1 - std::pow(0.9, step)),
          .bias_correction2 = static_cast<float>(1 - std::pow(0.95, step)),
          .gradient_scale = 0.75f};
}

State step(const Context& context, Format format, const AdamWReference<double>& s, const State& before,
           const std::vector<float>* gradient) {
  const int64_t size = before.weight.size();
  const auto narrow = [](const std::vector<float>& values) {
    std::vector<uint16_t> bits;
    for (const float v : values) bits.push_back(round_bf16(v));
    return bits;
  };
  std::vector<uint16_t> high(size);
  std::vector<int16_t> lows(size);
  split_master(context, size, before.weight.data(), high.data(), lows.data());
  Guarded<float> weight(before.weight), avg(before.exp_avg), avg_sq(before.exp_avg_sq);
  Guarded<float> grad(gradient ? *gradient : std::vector<float>{});
  Guarded<uint16_t> value(high), avg16(narrow(before.exp_avg)), avg_sq16(narrow(before.exp_avg_sq));
  Guarded<int16_t> low(lows);
  const bool split = format.value == DType::kBFloat16, small = format.moment == DType::kBFloat16;
  adamw(context, {.size = size,
                  .value = split ? static_cast<void*>(value.data()) : weight.data(),
                  .value_dtype = format.value,
                  .low = split ? low.data() : nullptr,
                  .gradient = gradient ? grad.data() : nullptr,
                  .exp_avg = small ? static_cast<void*>(avg16.data()) : avg.data(),
                  .exp_avg_sq = small ? static_cast<void*>(avg_sq16.data()) : avg_sq.data(),
                  .moment_dtype = format.moment,
                  .learning_rate = static_cast<float>(s.learning_rate),
                  .beta1 = static_cast<float>(s.beta1),
                  .beta2 = static_cast<float>(s.beta2),
                  .eps = static_cast<float>(s.eps),
                  .weight_decay = static_cast<float>(s.weight_decay),
                  .bias_correction1 = static_cast<float>(s.bias_correction1),
                  .bias_correction2 = static_cast<float>(s.bias_correction2),
                  .gradient_scale = static_cast<float>(s.gradient_scale)});
  State after{weight.values(), avg.values(), avg_sq.values()};
  if (split) join_master(context, size, value.data(), low.data(), after.weight.data());
  if (small) {
    const auto m = avg16.values(), v = avg_sq16.values();
    for (int64_t i = 0; i < size; ++i) {
      after.exp_avg[i] = widen_bf16(m[i]);
      after.exp_avg_sq[i] = widen_bf16(v[i]);
    }
  }
  return after;
}

// Gradients from 1e-12 to 1, weights of either sign, moments as a run would hold them.
State make_state(int64_t size, DType moment) {
  State state{random_floats(size, 1, 0.05f), random_floats(size, 2, 1e-3f), random_floats(size, 3, 1e-3f)};
  for (int64_t i = 0; i < size; ++i) {
    state.exp_avg[i] = through(moment, state.exp_avg[i]);
    state.exp_avg_sq[i] = through(moment, state.exp_avg_sq[i] * state.exp_avg_sq[i]);
  }
  return state;
}
std::vector<float> make_gradient(int64_t size) {
  std::vector<float> gradient = random_floats(size, 4);
  for (int64_t i = 0; i < size; ++i) gradient[i] *= std::pow(10.0f, -static_cast<float>(i % 13));
  return gradient;
}

double ulp(double value) {
  const auto f = static_cast<float>(std::fabs(value));
  return static_cast<double>(std::nextafterf(f, std::numeric_limits<float>::infinity())) - f;
}

class AdamWTest : public ::testing::TestWithParam<std::tuple<InstructionSet, Format, int64_t>> {
 protected:
  InstructionSet set() const { return std::get<0>(GetParam()); }
  Format format() const { return std::get<1>(GetParam()); }
  int64_t size() const { return std::get<2>(GetParam()); }
};

TEST_P(AdamWTest, IsWithinAnUlpOfTheReference) {
  const State before = make_state(size(), format().moment);
  const auto gradient = make_gradient(size());
  for (const bool with_gradient : {true, false}) {
    for (const int64_t t : {1, 10, 100000}) {
      const AdamWReference<double> s = settings(t);
      const State after = step(KernelContext(set(), 2), format(), s, before, with_gradient ? &gradient : nullptr);
      auto weight = to_double(before.weight), m = to_double(before.exp_avg), v = to_double(before.exp_avg_sq);
      adamw_reference(s, to_double(with_gradient ? gradient : std::vector<float>(size(), 0)), &weight, &m, &v);
      for (int64_t i = 0; i < size(); ++i) {
        const double g = with_gradient ? gradient[i] * s.gradient_scale : 0;
        const double terms = std::fabs(s.beta1 * before.exp_avg[i]) + std::fabs((1 - s.beta1) * g);
        const double bound = ulp(weight[i]) + 1e-6 * s.learning_rate * terms /
                                                  (s.bias_correction1 * (std::sqrt(v[i] / s.bias_correction2) + s.eps));
        ASSERT_LE(std::fabs(after.weight[i] - weight[i]), bound) << i << " of step " << t;
        const double moment_error = format().moment == DType::kBFloat16 ? 0x1p-8 : 4e-7;
        ASSERT_LE(std::fabs(after.exp_avg[i] - m[i]), moment_error * std::fabs(m[i]) + 2e-7 * terms) << i;
        ASSERT_LE(std::fabs(after.exp_avg_sq[i] - v[i]), moment_error * v[i] + 1e-38) << i;
      }
    }
  }
}

TEST_P(AdamWTest, SameBitsForAnyThreads) {
  const State before = make_state(size(), format().moment);
  const auto gradient = make_gradient(size());
  const State one = step(KernelContext(set(), 1), format(), settings(3), before, &gradient);
  const State two = step(KernelContext(set(), 2), format(), settings(3), before, &gradient);
  EXPECT_TRUE(same_bits(one.weight, two.weight));
  EXPECT_TRUE(same_bits(one.exp_avg, two.exp_avg));
  EXPECT_TRUE(same_bits(one.exp_avg_sq, two.exp_avg_sq));
}

TEST_P(AdamWTest, SplitWeightsMoveAsPlainOnes) {
  const State before = make_state(size(), format().moment);
  const auto gradient = make_gradient(size());
  Format plain = format();
  plain.value = DType::kFloat32;
  EXPECT_TRUE(same_bits(step(KernelContext(set()), format(), settings(3), before, &gradient).weight,
                        step(KernelContext(set()), plain, settings(3), before, &gradient).weight));
}

TEST_P(AdamWTest, DamageStaysInItsElement) {
  if (size() < 3) return;
  const State before = make_state(size(), format().moment);
  auto gradient = make_gradient(size());
  const State clean = step(KernelContext(set()), format(), settings(3), before, &gradient);
  gradient[0] = std::numeric_limits<float>::quiet_NaN();
  gradient[2] = std::numeric_limits<float>::infinity();
  State after = step(KernelContext(set()), format(), settings(3), before, &gradient);
  EXPECT_TRUE(std::isnan(after.weight[0]));
  EXPECT_TRUE(std::isnan(after.exp_avg[0]));
  EXPECT_FALSE(std::isfinite(after.weight[2]));
  after.weight[0] = clean.weight[0];
  after.weight[2] = clean.weight[2];
  EXPECT_TRUE(same_bits(after.weight, clean.weight));
}

std::string case_name(const ::testing::TestParamInfo<AdamWTest::ParamType>& info) {
  const auto& [set, format, size] = info.param;
  return std::string(instruction_set_name(set)) + "_" + format.name + "_" + std::to_string(size);
}

INSTANTIATE_TEST_SUITE_P(All, AdamWTest,
                         ::testing::Combine(::testing::ValuesIn(available_instruction_sets()),
                                            ::testing::ValuesIn(kFormats),
                                            ::testing::Values<int64_t>(0, 1, 7, 8, 9, 1000, 40003)),
                         case_name);

class MasterWeight : public ::testing::TestWithParam<InstructionSet> {
 protected:
  // Splits and joins; the value, the low bits and the way back are checked for every word.
  void check(const std::vector<uint32_t>& words) const {
    const KernelContext context(GetParam(), 2);
    std::vector<float> master(words.size()), joined(words.size());
    std::memcpy(master.data(), words.data(), words.size() * sizeof(float));
    std::vector<uint16_t> value(words.size());
    std::vector<int16_t> low(words.size());
    const int64_t size = words.size();
    split_master(context, size, master.data(), value.data(), low.data());
    join_master(context, size, value.data(), low.data(), joined.data());
    for (size_t i = 0; i < words.size(); ++i) {
      if (std::isnan(master[i])) {
        ASSERT_TRUE(std::isnan(joined[i]) && std::isnan(widen_bf16(value[i]))) << std::hex << words[i];
        continue;
      }
      ASSERT_EQ(std::bit_cast<uint32_t>(joined[i]), words[i]) << std::hex << words[i];
      const auto [expected_value, expected_low] = split_master_reference(words[i]);
      ASSERT_EQ(value[i], expected_value) << std::hex << words[i];
      ASSERT_EQ(low[i], expected_low) << std::hex << words[i];
      if (!std::isfinite(master[i]) || value[i] % 0x8000 == 0x7f80) continue;
      // No other bf16 number is nearer, and of two equally near ones it is the larger in magnitude.
      const double own = widen_bf16(value[i]), distance = std::fabs(own - master[i]);
      for (const int neighbour : {-1, 1}) {
        const auto other_bits = static_cast<uint16_t>(value[i] + neighbour);
        if (other_bits % 0x8000 == 0x7f80 || (value[i] % 0x8000 == 0 && neighbour < 0)) continue;
        const double other = widen_bf16(other_bits), other_distance = std::fabs(other - master[i]);
        ASSERT_TRUE(distance < other_distance || (distance == other_distance && std::fabs(own) > std::fabs(other)))
            << std::hex << words[i];
      }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(All, MasterWeight, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return instruction_set_name(info.param); });

TEST_P(MasterWeight, RoundTripsAcrossAllBitPatterns) {
  std::vector<uint32_t> words;
  for (uint64_t word = 0; word < (uint64_t{1} << 32); word += 2503) words.push_back(static_cast<uint32_t>(word));
  check(words);
}

TEST_P(MasterWeight, RoundTripsAtTheEdges) {
  std::vector<uint32_t> words;
  for (uint32_t high = 0; high < 0x10000; high += high % 0x80 < 4 || high % 0x80 > 0x7c ? 1 : 17)
    for (const uint32_t rest : {0x0000u, 0x0001u, 0x7ffeu, 0x7fffu, 0x8000u, 0x8001u, 0xfffeu, 0xffffu})
      words.push_back(high << 16 | rest);
  check(words);
}

class Statistics : public ::testing::TestWithParam<InstructionSet> {};
INSTANTIATE_TEST_SUITE_P(All, Statistics, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return instruction_set_name(info.param); });

GradientStatistics statistics(InstructionSet set, int threads, const std::vector<float>& values) {
  Guarded<float> gradient(values);
  const int64_t size = values.size();
  return gradient_statistics(KernelContext(set, threads, gradient_statistics_scratch_bytes(size)), gradient.data(),
                             size);
}

TEST_P(Statistics, SumsInDouble) {
  for (const int64_t size : {0, 1, 7, 8, 9, 32768, 32769, 100003}) {
    std::vector<float> values = random_floats(size, 9, 1e-3f);
    if (size > 3) values[3] = 1e25f;  // its square overflows fp32
    double expected = 0;
    for (const float v : values) expected += static_cast<double>(v) * v;
    const GradientStatistics one = statistics(GetParam(), 1, values), two = statistics(GetParam(), 2, values);
    EXPECT_NEAR(one.sum_squares, expected, 1e-12 * expected);
    EXPECT_EQ(one.sum_squares, two.sum_squares);
    EXPECT_EQ(one.num_nonfinite, 0);
  }
}

TEST_P(Statistics, CountsNonFinite) {
  std::vector<float> values = random_floats(70001, 9);
  const float inf = std::numeric_limits<float>::infinity();
  values[0] = std::numeric_limits<float>::quiet_NaN();
  values[40000] = inf;
  values[70000] = -inf;
  values[69999] = std::numeric_limits<float>::max();
  const GradientStatistics result = statistics(GetParam(), 2, values);
  EXPECT_EQ(result.num_nonfinite, 3);
  EXPECT_FALSE(std::isfinite(result.sum_squares));
}

// From zero moments and without eps, a first step has the length lr * (1 + weight decay term), whatever the gradient.
TEST(AdamWReferenceTest, FirstStepHasTheLengthOfTheRate) {
  for (const double g : {1e-3, 1.0, 1e3}) {
    std::vector<double> w{2.0}, m{0}, v{0};
    adamw_reference<double>({.learning_rate = 0.01,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .eps = 0,
                             .weight_decay = 0.1,
                             .bias_correction1 = 0.1,
                             .bias_correction2 = 0.05,
                             .gradient_scale = 1},
                            {g}, &w, &m, &v);
    EXPECT_NEAR(w[0], 2.0 - 0.01 * (1 + 0.1 * 2.0), 1e-12);
  }
}

}  // namespace
}  // namespace dslite::kernels
