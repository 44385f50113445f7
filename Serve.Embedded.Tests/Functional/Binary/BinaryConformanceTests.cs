using Serve.Embedded.Tests.Functional.Conformance;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed class BinarySheddingConformance() : SheddingConformance(SiteForm.Binary);

public sealed class BinaryReplicasConformance() : ReplicasConformance(SiteForm.Binary);

public sealed class BinaryRoutingConformance() : RoutingConformance(SiteForm.Binary);

public sealed class BinaryTimeConformance() : TimeConformance(SiteForm.Binary);

public sealed class BinaryStreamConformance() : StreamConformance(SiteForm.Binary);

public sealed class BinaryBatchingConformance() : BatchingConformance(SiteForm.Binary);

public sealed class BinaryModelsConformance() : ModelsConformance(SiteForm.Binary);

public sealed class BinaryLifeConformance() : LifeConformance(SiteForm.Binary);

public sealed class BinaryDeployConformance() : DeployConformance(SiteForm.Binary);
