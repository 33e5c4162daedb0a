// The `moka` command: reads its arguments and calls the subcommand.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "moka/base/error.h"
#include "moka/predictor/command/command.h"
#include "moka/predictor/moka.h"

namespace {

using namespace moka::command;

constexpr int exit_error = 1, exit_usage = 2;

constexpr const char* front_page = R"(Loads models and runs them, without Python.

Models are .moka packages, ONNX files (.onnx), or the pair of files that Caffe2 writes
(predict_net.pb with init_net.pb beside it). Arrays are NumPy's .npy files.)";

constexpr const char* back_page = R"(Examples:
  moka info model.moka                          what goes in, what comes out, what it costs
  moka run model.moka -i images.npy -o out.npy  run it on an array, keep the result
  moka run model.onnx -i images.npy -l labels.npy --batch 100
                                                accuracy on a test set
  moka run model.moka --random --repeat 100     how long does one run take?
  moka profile model.moka --random              and where does that time go?
  moka test model                               a folder with model.onnx and its test data: is all right?
  moka info model.moka --page model.html        the graph, to look at in a browser
  moka convert model.onnx model.moka            the same model in another format
  moka convert new.onnx old.onnx --opset 11     the same model in an older operator set
  moka convert model.onnx weights.safetensors   its weights alone
  moka build model.moka --target x86-64-v3 --key code.key
                                                compiled code into the package, for machines without LLVM
  moka run model.moka --random --code-key code.key
                                                run with that code

Results go to standard output, everything else to standard error.
Exit codes: 0 done, 1 an error, 2 wrong usage.)";

// CLI11's own validator answers with the largest double written out.
const CLI::Validator positive(
    [](std::string& text) {
      double value = 0;
      return CLI::detail::lexical_cast(text, value) && value > 0
                 ? std::string()
                 : moka::cat("a number above 0 is needed, '", text, "' came");
    },
    "POSITIVE");

int fail_usage(const std::string& message) {
  std::fprintf(stderr, "moka: %s\nRun `moka --help`, or a command with --help, to see how.\n",
               message.c_str());
  return exit_usage;
}

void add_model(CLI::App* command, ModelArgs& args) {
  command->add_option("model", args.path, "The model: .moka, .onnx, or Caffe2's predict net")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--init", args.init_path,
                   "Caffe2's init net, where it does not lie beside the predict net as init_net.pb")
      ->type_name("FILE");
}

void add_arrays(CLI::App* command, ArrayArgs& args) {
  command
      ->add_option(
          "-i,--input", args.inputs,
          "An input: FILE.npy, or FILE.pb as ONNX's test data have it, in the model's order, or NAME=FILE; "
          "repeat for more")
      ->type_name("[NAME=]FILE")
      ->allow_extra_args(false);
  command
      ->add_option("-b,--batch", args.batch,
                   "Rows of the inputs that are run at once; without it all of them")
      ->check(positive);
  command->add_flag("--random", args.random,
                    "Make up inputs of the declared shapes (free sizes become --batch, or 1)");
}

void describe_run(CLI::App* command, RunArgs& args) {
  add_model(command, args.model);
  add_arrays(command, args);
  command
      ->add_option("-o,--output", args.outputs,
                   "Where to keep an output: FILE.npy or FILE.pb in the model's order, or NAME=FILE")
      ->type_name("[NAME=]FILE")
      ->allow_extra_args(false);
  command
      ->add_option("-l,--labels", args.labels,
                   "The right classes, one integer a row: prints the accuracy of the first output")
      ->type_name("FILE");
  command->add_option("-r,--repeat", args.repeat, "Run everything so many times and report the times")
      ->check(positive);
  command
      ->add_option("-t,--threads", args.threads,
                   "Threads to use; without it every core that this process may use")
      ->check(positive);
  command->add_option("--deadline", args.deadline, "Give up when one run takes longer than so many seconds")
      ->check(positive);
  command
      ->add_option("--profile", args.profile,
                   "Write what ran when as a trace file (open it in ui.perfetto.dev)")
      ->type_name("FILE");
  command->add_flag("--no-optimize", args.no_optimize, "Run the graph as it stands in the file");
  command
      ->add_option(
          "--code-key", args.code_key,
          "The key whose mark compiled code in a package must carry to be run; without it MOKA_CODE_KEY "
          "names the file")
      ->type_name("FILE");
  command->add_flag("--json", args.json, "Print the results as one JSON object");
}

void describe_build(CLI::App* command, BuildArgs& args) {
  add_model(command, args.model);
  command
      ->add_option("-o,--output", args.output,
                   "The package to write; without it the model's own file, a package")
      ->type_name("FILE");
  command
      ->add_option("--target", args.targets,
                   "Processors to compile for: x86-64-v3, x86-64-v4, aarch64; repeat for more")
      ->required()
      ->allow_extra_args(false);
  command
      ->add_option("-b,--batch", args.batches,
                   "What free sizes are when the model is loaded and planned; repeat for more; without it 1")
      ->check(positive)
      ->allow_extra_args(false);
  command
      ->add_option(
          "--key", args.key,
          "The file with the key that marks the code, made where there is none; without it MOKA_CODE_KEY "
          "names it")
      ->type_name("FILE");
}

void describe_test(CLI::App* command, TestArgs& args) {
  command
      ->add_option("folders", args.folders,
                   "Folders with a model and test_data_set_0, ... beside it (input_0.pb, output_0.pb, ...), "
                   "or folders of such")
      ->required()
      ->type_name("FOLDER");
  command->add_option("--rtol", args.rtol, "How far floating results may be off, as a share of their size")
      ->capture_default_str();
  command->add_option("--atol", args.atol, "And absolutely; 2^-6 of the size for bfloat16")
      ->capture_default_str();
  command
      ->add_option("-t,--threads", args.threads,
                   "Threads to use; without it every core that this process may use")
      ->check(positive);
  command->add_option("--deadline", args.deadline, "Give up a model that runs longer than so many seconds")
      ->check(positive);
  command->add_flag("--no-optimize", args.no_optimize, "Run the graphs as they stand in the files");
  command->add_flag("--json", args.json, "Print the results as one JSON object");
}

void describe_profile(CLI::App* command, ProfileArgs& args) {
  add_model(command, args.model);
  add_arrays(command, args);
  command->add_option("-r,--repeat", args.repeat, "Runs that are timed")
      ->check(positive)
      ->capture_default_str();
  command
      ->add_option("-t,--threads", args.threads,
                   "Threads to use; without it every core that this process may use")
      ->check(positive);
  command->add_option("--top", args.top, "Rows of each table; 0: all")->capture_default_str();
  command
      ->add_option("--trace", args.trace, "Write what ran when as a trace file (open it in ui.perfetto.dev)")
      ->type_name("FILE");
  command->add_flag("--no-optimize", args.no_optimize, "Run the graph as it stands in the file");
  command->add_flag("--json", args.json, "Print the tables as one JSON object");
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write, with a text
  CLI::App app(front_page, "moka");
  app.footer(back_page);
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("moka ") + moka_version());

  RunArgs run_args;
  CLI::App* run_command = app.add_subcommand("run", "Run a model on arrays");
  describe_run(run_command, run_args);

  TestArgs test_args;
  CLI::App* test_command =
      app.add_subcommand("test", "Run models on the test data beside them and compare the results");
  describe_test(test_command, test_args);

  ProfileArgs profile_args;
  CLI::App* profile_command =
      app.add_subcommand("profile", "Run a model and tell where its time goes, step by step");
  describe_profile(profile_command, profile_args);

  InfoArgs info_args;
  CLI::App* info_command =
      app.add_subcommand("info", "Describe a model: inputs, outputs, operators, sizes, arithmetic");
  add_model(info_command, info_args.model);
  CLI::Option* json = info_command->add_flag("--json", info_args.json, "Print one JSON object");
  info_command
      ->add_flag("--ops", info_args.ops,
                 "Print the operators' names alone: the list that a build with MOKA_OPS_LIST takes")
      ->excludes(json);
  info_command
      ->add_option("--page", info_args.page, "Write the graph as one HTML page to look at in a browser")
      ->type_name("FILE");

  BuildArgs build_args;
  CLI::App* build_command = app.add_subcommand(
      "build", "Put compiled code and plans into a package, for predictors without a compiler");
  describe_build(build_command, build_args);

  ConvertArgs convert_args;
  CLI::App* convert_command = app.add_subcommand("convert", "Write a model in another format");
  add_model(convert_command, convert_args.model);
  convert_command
      ->add_option("output", convert_args.output,
                   "The file to write; its ending says the format: .moka, .onnx, .pb (Caffe2's predict net; "
                   "its init net goes beside it), .safetensors (weights alone), .txt (the graph to read)")
      ->required();
  convert_command->add_option(
      "--opset", convert_args.opset,
      "ONNX operator set to write, 9 to 28; without it an ONNX file keeps its own, others "
      "are written as 18");

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    const bool none = app.get_subcommands().empty();
    if (none && !app.remaining().empty())
      return fail_usage(moka::cat("there is no command '", app.remaining()[0],
                                  "'; there are run, test, profile, info, build and convert"));
    return fail_usage(none && argc == 1 ? "a command is needed: run, profile, info, build or convert"
                                        : e.what());
  }
  try {
    if (run_command->parsed()) return run(run_args);
    if (test_command->parsed()) return test(test_args);
    if (profile_command->parsed()) return profile(profile_args);
    if (info_command->parsed()) return info(info_args);
    if (build_command->parsed()) return build(build_args);
    return convert(convert_args);
  } catch (const UsageError& e) {
    return fail_usage(e.message);
  } catch (const moka::Error& e) {
    std::fprintf(stderr, "moka: %s\n", e.what());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "moka: out of memory\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "moka: internal error: %s; please report this\n", e.what());
  }
  return exit_error;
}
