using System.IO;
using UnrealBuildTool;

public class TalkingAvatar : ModuleRules
{
	public TalkingAvatar(ReadOnlyTargetRules Target) : base(Target)
	{
		PCHUsage = PCHUsageMode.NoPCHs;
		CppStandard = CppStandardVersion.Cpp17;
		bEnableExceptions = true;
		PublicDependencyModuleNames.AddRange(new[] { "Core", "CoreUObject", "Engine", "ImageWrapper" });

		// gRPC, Protobuf and the generated files, built as the README says.
		string Grpc = Path.Combine(ModuleDirectory, "..", "ThirdParty", "grpc");
		PrivateIncludePaths.AddRange(new[] { Path.Combine(Grpc, "include"), Path.Combine(ModuleDirectory, "generated") });
		foreach (string Library in Directory.GetFiles(Path.Combine(Grpc, "lib")))
		{
			PublicAdditionalLibraries.Add(Library);
		}
		PublicDefinitions.Add("GOOGLE_PROTOBUF_NO_RTTI=1");
	}
}
